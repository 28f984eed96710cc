"""Numba's CUDA target, imported at one place, and how kernels of one dimension are launched.

On a machine without a GPU its simulator runs them (NUMBA_ENABLE_CUDASIM=1). There scalars are NumPy's, so that
`total = 0.0` is no slip that shows: on a device it makes every sum a float64. Kernels take zeros from their arrays.
"""

import contextlib
import os
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

vars(np).setdefault("row_stack", np.vstack)  # numba-cuda 0.30 looks for it; NumPy 2.5 has it no more
with contextlib.suppress(ImportError):
    import_module("_numba_cuda_redirector")  # what its .pth file does, where the package lies off the usual folders

from numba import cuda as cuda  # noqa: E402 (after what it needs; from here all have it)

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
if SIMULATED:
    from .numba_simulator import install

    install()
# How large blocks are: few threads in the simulator, which makes one of the system for each, and then the same code.
BLOCK = 32 if SIMULATED else 256  # threads, where a kernel says no other number
MOST = 64 if SIMULATED else 1 << 20  # threads of a grid at most; what is left over they do in turns
ROW = 16 if SIMULATED else 128  # threads that share a row
TILE = 4 if SIMULATED else 16  # side of a tile in shared memory
EVERY: list[Any] = []  # (kernel, the types of its arguments in float32), for those who compile them all
MADE: list[Any] = []  # functions from a dtype to kernels with shared memory of it


def per_dtype(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """From a dtype to kernels, each made once: shared memory has its type in the code."""
    made = cache(make)
    MADE.append(made)
    return made


def kernel(*types: str) -> Callable[[Callable[..., None]], Any]:
    """cuda.jit, compiled at the first launch. types: of the arguments as Numba writes them, for float32."""

    def make(function: Callable[..., None]) -> Any:
        EVERY.append((function, types))
        return cuda.jit(function)

    return make


def over(count: int, body: Any, *args: Any) -> None:
    """Launch `body`, whose threads share `count` things: thread i has i, i + all threads, and so on."""
    launch(body, (min(-(-count // BLOCK), MOST // BLOCK),), (BLOCK,), *args)


def launch(body: Any, grid: tuple[int, ...], block: tuple[int, ...], *args: Any) -> None:
    """Launch `body`; a Python int is an int64."""
    body[grid, block](*args)
