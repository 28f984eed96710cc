"""A .cu file and its kernels: launched by CuPy on CuPy arrays, by the emulator on NumPy arrays."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_np.backend import device_of

from ..emulator.launch import Library

TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
STATIC_SHARED = 48 << 10  # bytes; more must be asked for
BLOCK = 256  # threads, where a kernel says no other number

EVERY: list["Source"] = []  # for those who compile them all


class Source:
    """The kernels of a .cu file beside `python_file`. `names`: name expressions, {T} standing for each type.

        source = Source(__file__, "gpu_cuda.cu", ["relu<{T}>"])
        source.launch("relu<{T}>", grid, block, x, y, np.int64(x.size))

    T is the type of the first array. `types`: the dtypes that the kernels are written for.
    """

    def __init__(
        self, python_file: str, name: str, names: Sequence[str], types: Sequence[Any] = (np.float32, np.float64)
    ) -> None:
        self.file = Path(python_file).with_name(name)
        self.types = [np.dtype(t) for t in types]
        self.names = list(dict.fromkeys(n.format(T=TYPES[t]) for n in names for t in self.types))
        self._emulated = Library(self.file, self.names)
        EVERY.append(self)

    def launch(self, name: str, grid: Sequence[int], block: Sequence[int], *args: Any, shared: int = 0) -> None:
        """Run a kernel where its arrays are. args: as the emulator's `launch` takes them; a Python int is a C int."""
        first = next(a for a in args if getattr(a, "ndim", 0) or device_of(a) == "gpu")
        name = name.format(T=TYPES[first.dtype])
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


def structure(**fields: Any) -> Any:
    """A C structure of ints and doubles, to be passed by value: fields in order, int → int, float → double."""
    dtype = np.dtype([(name, "f8" if isinstance(v, float) else "i4") for name, v in fields.items()], align=True)
    return np.array(tuple(fields.values()), dtype)
