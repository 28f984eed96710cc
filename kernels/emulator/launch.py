"""A kernel of a .cu file, launched on NumPy arrays."""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from . import build

SEEDS = 3  # from so many on, orders repeat their kind: ascending, descending, shuffled
_seed: ContextVar[int] = ContextVar("seed", default=0)


class KernelFault(RuntimeError):
    """What a kernel did that a GPU may not tell: where (block and thread), and what."""


class _Launch(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_size_t),
        ("seed", ctypes.c_uint),
        ("count", ctypes.c_int),
        ("values", ctypes.POINTER(ctypes.c_void_p)),
        ("bytes", ctypes.POINTER(ctypes.c_size_t)),
        ("itemsizes", ctypes.POINTER(ctypes.c_int)),
        ("writable", ctypes.POINTER(ctypes.c_int)),
    ]


@contextmanager
def seed(number: int) -> Iterator[None]:
    """Launches of the with-block run their threads in another order, in memory that lies otherwise.

    0: ascending; 1: descending; else shuffled. The place of arrays and the poison of shared memory go by number mod 3.
    """
    token = _seed.set(number)
    try:
        yield
    finally:
        _seed.reset(token)


class Library:
    """The kernels `names` of a .cu file, compiled at the first launch.

    `names` are name expressions, as NVRTC takes them: 'copy', or 'relu<float>' for a template.
    """

    def __init__(self, file: Path, names: Sequence[str]) -> None:
        self.file, self.names = file, list(names)
        self._library: ctypes.CDLL | None = None
        self._signatures: dict[str, list[int]] = {}

    def launch(self, name: str, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared: int = 0) -> int:
        """Run the kernel; how many barriers were passed, over all blocks. Read-only arrays stay as they are.

        args: contiguous arrays; NumPy numbers (a Python int is a C int) and structures, as arrays of shape ().
        Raises KernelFault for what went wrong in it, TypeError for arguments that it does not take.
        """
        signature, entry = self.signature(name), getattr(self._library, f"emu_launch_{self.names.index(name)}")
        args = [np.int32(a) if type(a) is int else a for a in args]
        _check(name, signature, args)
        n = len(args)
        held = [a if a.ndim else a.reshape(1) for a in map(np.asarray, args)]
        call = _Launch(
            (ctypes.c_uint * 3)(*_three(grid)),
            (ctypes.c_uint * 3)(*_three(block)),
            shared,
            _seed.get(),
            n,
            (ctypes.c_void_p * n)(*(a.ctypes.data for a in held)),
            (ctypes.c_size_t * n)(*(a.nbytes for a in held)),
            (ctypes.c_int * n)(*(a.itemsize if s < 0 else 0 for a, s in zip(held, signature, strict=True))),
            (ctypes.c_int * n)(*(a.flags.writeable for a in held)),
        )
        if fault := entry(ctypes.byref(call)):
            raise KernelFault(f"{name}: {fault.decode()}")
        assert self._library is not None
        return int(self._library.emu_barriers())

    def signature(self, name: str) -> list[int]:
        """Bytes of each parameter; negative for a pointer, of what it points to."""
        if name not in self.names:
            raise ValueError(f"{self.file.name} was not compiled for {name}; it was for {', '.join(self.names)}")
        if self._library is None:
            self._library = self._load()
        if name not in self._signatures:
            sizes = getattr(self._library, f"emu_signature_{self.names.index(name)}")()
            self._signatures[name] = [sizes[i] for i in range(next(i for i in range(100) if sizes[i] == 0))]
        return self._signatures[name]

    def _load(self) -> ctypes.CDLL:
        library = ctypes.CDLL(str(build.build(self.file, self.names, sanitized=sanitized())))
        library.emu_barriers.restype = ctypes.c_size_t
        for i in range(len(self.names)):
            getattr(library, f"emu_launch_{i}").restype = ctypes.c_char_p
            getattr(library, f"emu_signature_{i}").restype = ctypes.POINTER(ctypes.c_int)
        return library


def sanitized() -> bool:
    """Whether this process runs under AddressSanitizer (ALEXNET_EMULATOR_ASAN=1 and libasan loaded first)."""
    return os.environ.get("ALEXNET_EMULATOR_ASAN") == "1"


def _check(name: str, signature: list[int], args: Sequence[Any]) -> None:
    if len(args) != len(signature):
        raise TypeError(f"{name} takes {len(signature)} arguments, got {len(args)}")
    for i, (size, arg) in enumerate(zip(signature, args, strict=True)):
        if size < 0:
            if not isinstance(arg, np.ndarray) or not arg.flags.c_contiguous or arg.itemsize != -size:
                kind = f"{arg.dtype}, strides {arg.strides}" if isinstance(arg, np.ndarray) else type(arg).__name__
                raise TypeError(f"{name}: argument {i} must be a contiguous array of {-size}-byte elements, got {kind}")
        elif not isinstance(arg, np.generic | np.ndarray) or arg.ndim or arg.itemsize != size:
            raise TypeError(f"{name}: argument {i} must be a number or structure of {size} bytes, got {arg!r}")


def _three(extent: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = (*extent, 1, 1)[:3]
    return x, y, z
