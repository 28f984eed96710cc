"""A .cu file and its kernels: launched by CuPy on CuPy arrays, by the emulator on NumPy arrays."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_np.backend import device_of
from alexnet_np.precision import FLOATS, accumulator

from ..emulator.launch import Library

TYPES = {"float32": "float", "float64": "double", "bfloat16": "bfloat16"}
STATIC_SHARED = 48 << 10  # bytes; more must be asked for
BLOCK = 256  # threads, where a kernel says no other number

EVERY: list["Source"] = []  # for those who compile them all


class Source:
    """The kernels of a .cu file beside `python_file`. `names`: name expressions, {T} standing for each type.

        source = Source(__file__, "gpu_cuda.cu", ["relu<{T}>"])
        source.launch("relu<{T}>", grid, block, x, y, np.int64(x.size))

    T is the type of the first array. {Y}, if a name has it, is T or what T is summed in, and told at the launch.
    `types`: the dtypes that the kernels are written for, by name.
    """

    def __init__(self, python_file: str, name: str, names: Sequence[str], types: Sequence[str] = FLOATS) -> None:
        self.file = Path(python_file).with_name(name)
        self.types = tuple(types)
        pairs = [(T, Y) for T in types for Y in dict.fromkeys((TYPES[T], "float" if T == "bfloat16" else TYPES[T]))]
        self.names = list(dict.fromkeys(n.format(T=TYPES[T], Y=Y) for n in names for T, Y in pairs))
        self._emulated = Library(self.file, self.names)
        EVERY.append(self)

    def compile_only(self, names: Sequence[str], file: Path | None = None) -> None:
        """Have the emulator compile these kernels alone, or from another file: for tests."""
        self._emulated = Library(file or self.file, names)

    def launch(
        self, name: str, grid: Sequence[int], block: Sequence[int], *args: Any, shared: int = 0, to: Any = None
    ) -> None:
        """Run a kernel where its arrays are. args: as the emulator's `launch` takes them; a Python int is a C int.

        to: the dtype that {Y} stands for.
        """
        first = next(a for a in args if getattr(a, "ndim", 0) or device_of(a) == "gpu")
        name = name.format(T=TYPES[first.dtype.name], Y=to is not None and TYPES[to.name])
        if device_of(first) == "cpu":
            self._emulated.launch(name, grid, block, args, shared)
            return
        kernel = _on_gpu(self.file, tuple(self.names)).get_function(name)
        if shared > STATIC_SHARED:
            kernel.max_dynamic_shared_size_bytes = shared
        kernel(tuple(grid), tuple(block), tuple(np.int32(a) if type(a) is int else a for a in args), shared_mem=shared)


@cache
def _on_gpu(file: Path, names: tuple[str, ...]) -> Any:
    options = ("-std=c++17", f"-I{file.parent}")
    return import_module("cupy").RawModule(code=file.read_text(), options=options, name_expressions=names)


def blocks(threads: int, block: int = BLOCK) -> tuple[int]:
    """A grid of one dimension with so many threads."""
    return (-(-threads // block),)


def packs(n: int, dtype: Any) -> tuple[int]:
    """A grid for n elements, a Pack of common.cuh for each thread."""
    return blocks(-(-n // max(4, 16 // dtype.itemsize)))


def number(dtype: Any) -> Any:
    """What makes a kernel's number beside arrays of this dtype."""
    return accumulator(dtype).type


def structure(**fields: Any) -> Any:
    """A C structure of ints and doubles, to be passed by value: fields in order, int → int, float → double."""
    dtype = np.dtype([(name, "f8" if isinstance(v, float) else "i4") for name, v in fields.items()], align=True)
    return np.array(tuple(fields.values()), dtype)
