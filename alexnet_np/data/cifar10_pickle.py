"""CIFAR-10's Python batches: pickles of a dict with b'labels', a list of ints, and b'data', an array uint8 (N, 3072).

A pickle is a program, and damaged or hostile it can crash the interpreter. So it is walked through first: it may have
the opcodes that such a dict needs, and ask for no more memory than it has bytes. Then it runs, but calls nothing that
it names: the four names by which NumPy writes an array stand for objects of ours, which make arrays of bytes and
nothing else, such as an array of pointers.
"""

import io
import pickle
import pickletools
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ..backend import Array

CONTAINERS = {"EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "MARK"}
STRINGS = {
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
INTS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "NONE", "NEWTRUE", "NEWFALSE"}
GETS = {"GET", "BINGET", "LONG_BINGET"}
PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
FEW = {"EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"}
OPCODES = CONTAINERS | STRINGS | INTS | GETS | PUTS | FEW | {"PROTO", "FRAME", "MEMOIZE", "STOP"}
MOST = 40  # of the opcodes in FEW; an array takes about 20
MODULES = "numpy", "numpy.core.multiarray", "numpy._core.multiarray"


def read(content: bytes) -> tuple[Array, Array]:
    """Images uint8 (N, 3072) and labels (N,), int64. Raises ValueError, and what a damaged pickle ends in."""
    _walk_through(content)
    batch = _Reader(io.BytesIO(content), encoding="bytes").load()
    data, labels = (batch.get(key) if type(batch) is dict else None for key in (b"data", b"labels"))
    if type(data) is not _Bytes or data.array is None:
        raise ValueError("it is no dict with an array b'data'")
    if type(labels) is not list or not all(type(label) is int and 0 <= label < 256 for label in labels):
        raise ValueError("its b'labels' are no list of small numbers")
    return data.array, np.array(labels, np.int64)


def _walk_through(content: bytes) -> None:
    """Raises ValueError for opcodes that a batch does not have, for a string longer than what follows, and for an
    object's number that is larger than there are objects: a table of so many is made."""
    few = 0
    for code, argument, at in pickletools.genops(content):
        few += code.name in FEW
        if code.name not in OPCODES or few > MOST:
            raise ValueError(f"it has {code.name} at byte {at}, which no array and no list of numbers needs")
        if code.name in PUTS and int(argument or 0) > int(at or 0):
            raise ValueError(f"it numbers an object {argument} at byte {at}")


class _Bytes:
    """What stands for an array of bytes while a pickle is read."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array: Array | None = None

    def __setstate__(self, state: Any) -> None:
        version, shape, dtype, by_columns, data = state
        if version != 1 or type(dtype) is not _Byte or type(shape) is not tuple or type(data) is not bytes:
            raise pickle.UnpicklingError("it has an array that is not of bytes")
        if not all(type(n) is int and n >= 0 for n in shape) or prod(shape) != len(data):
            raise pickle.UnpicklingError(f"it has an array of another shape than its {len(data)} bytes have")
        self.array = np.frombuffer(data, np.uint8).reshape(shape, order="F" if by_columns else "C")


class _Byte:
    """What stands for the dtype of bytes."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        if state[1:] not in ((order, None, None, None, -1, -1, 0) for order in ("|", b"|")):
            raise pickle.UnpicklingError("it has a dtype that is not of bytes")


class _Name:
    """What stands for something that the pickle names and calls."""

    __slots__ = ("_made",)

    def __init__(self, made: Callable[..., Any]) -> None:
        self._made = made

    def __call__(self, *arguments: Any) -> Any:
        return self._made(*arguments)


def _array(*given: Any) -> _Bytes:
    if len(given) != 3 or type(given[0]) is not _Name or given[1:] not in (((0,), "b"), ((0,), b"b")):
        raise pickle.UnpicklingError("it makes an array as NumPy does not write one")
    return _Bytes()


def _dtype(*given: Any) -> _Byte:
    if given[:1] not in (("u1",), (b"u1",)):
        raise pickle.UnpicklingError("it has an array that is not of bytes")
    return _Byte()


def _encoded(*given: Any) -> bytes:
    if type(given[0]) is not str or given[1:] not in (("latin1",), (b"latin1",)):
        raise pickle.UnpicklingError("it encodes something as NumPy does not write it")
    return given[0].encode("latin1")


def _ndarray(*_: Any) -> None:
    raise pickle.UnpicklingError("it makes an array as NumPy does not write one")


STANDS_FOR: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "_reconstruct"): _array,
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encoded,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        place = "numpy" if module in MODULES else module
        if (place, name) not in STANDS_FOR:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _Name(STANDS_FOR[place, name])
