"""The table of backends: which arrays a kernel takes and what it needs to run.

Nothing here imports CuPy or Numba before somebody asks whether that backend can run.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # np.ndarray or cupy.ndarray

PAGE = 4096  # bytes of memory that lie together


@dataclass(frozen=True)
class Backend:
    """A way to compute: `device` is where its arrays live, `bodies` whose kernel files it runs."""

    name: str
    device: str
    summary: str
    missing: Callable[[], str | None]  # why it cannot run on this machine, None when it can
    bodies: str


def _needs(*modules: str) -> str | None:
    for module in modules:
        if find_spec(module) is None:
            return f"{module} is not installed"
    return None


def _needs_compiled() -> str | None:
    if why := _needs("numba"):
        return why
    off = os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0")
    return "NUMBA_DISABLE_JIT is set" if off else None


@cache
def _needs_gpu(*modules: str) -> str | None:
    if why := _needs("cupy", *modules):
        return why
    cupy = import_module("cupy")
    return None if cupy.cuda.is_available() else "CuPy finds no CUDA device"


def _needs_compiler() -> str | None:
    from shutil import which

    return None if which("g++") else "g++ is not installed"


def _needs_simulator() -> str | None:
    if why := _needs("numba"):
        return why
    return None if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1" else "NUMBA_ENABLE_CUDASIM=1 is not set"


_TABLE: tuple[tuple[str, str, str, Callable[[], str | None]], ...] = (
    ("cpu_numpy", "cpu", "im2col + BLAS and slices, in NumPy", lambda: None),
    ("cpu_numba", "cpu", "compiled kernels around BLAS", _needs_compiled),
    ("gpu_cupy", "gpu", "the cpu_numpy bodies with CuPy as array module", lambda: _needs_gpu()),
    ("gpu_cuda", "gpu", "CUDA C++ through cupy.RawModule", lambda: _needs_gpu()),
    ("gpu_numba", "gpu", "Numba CUDA kernels", lambda: _needs_gpu("numba")),
    ("emu_cuda", "cpu", "the gpu_cuda kernels executed on the CPU", _needs_compiler),
    ("emu_numba", "cpu", "the gpu_numba kernels in Numba's simulator", _needs_simulator),
)

# A backend's kernels are its own files, except that CuPy runs the NumPy bodies, and the emulators the GPU's.
BODIES = {"gpu_cupy": "cpu_numpy", "emu_cuda": "gpu_cuda", "emu_numba": "gpu_numba"}

BACKENDS = {
    name: Backend(name, device, summary, missing, BODIES.get(name, name)) for name, device, summary, missing in _TABLE
}

# The best backend of a device is the first that has a kernel for the operation at hand. The emulators are for
# checking and are never chosen unasked.
BEST = {"cpu": ("cpu_numba", "cpu_numpy"), "gpu": ("gpu_cuda", "gpu_numba", "gpu_cupy")}


def device_of(array: Array) -> str | None:
    """'cpu' for a NumPy array, 'gpu' for a CuPy array, None for anything else, without importing CuPy."""
    if isinstance(array, np.ndarray):
        return "cpu"
    return "gpu" if type(array).__module__.partition(".")[0] == "cupy" else None


def array_module(array: Array) -> Any:
    """The module, numpy or cupy, whose functions work on `array`. Raises TypeError for anything else."""
    device = device_of(array)
    if device is None:
        raise TypeError(f"expected a NumPy or CuPy array, got {type(array).__name__}")
    return np if device == "cpu" else import_module("cupy")


def module_of(device: str) -> Any:
    """The module whose arrays live on the device, 'cpu' or 'gpu'."""
    return np if device == "cpu" else import_module("cupy")


def brought(array: Array, device: str) -> Array:
    """The array on the device: itself where it is there, else a copy."""
    if device_of(array) == device:
        return array
    return import_module("cupy").asarray(native(array)) if device == "gpu" else array.get()


def native(array: Array) -> Array:
    """The array in the machine's byte order: itself, or a copy of one that was written by another kind of machine."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def address(array: Array) -> int:
    """Where its first element lies, in the memory of its device."""
    return int(array.ctypes.data if device_of(array) == "cpu" else array.data.ptr)


def paged(shape: tuple[int, ...], dtype: Any, offset: int = 0) -> Array:
    """Zeros on the CPU, the first of them `offset` bytes behind the beginning of a page.

    NumPy's own large arrays begin 16 bytes behind it, so that every second vector lies in two lines of the cache.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    block = np.zeros(size + 2 * PAGE, np.uint8)
    first = (offset - address(block)) % PAGE
    return block[first : first + size].view(dtype).reshape(shape)


def backend_of(key: str) -> Backend:
    """The backend of a kernel key such as 'cpu_numba' or 'gpu_cuda/naive'. Raises ValueError for an unknown one."""
    name = key.partition("/")[0]
    if name not in BACKENDS:
        raise ValueError(f"unknown backend {name!r}; the backends are {', '.join(BACKENDS)}")
    return BACKENDS[name]
