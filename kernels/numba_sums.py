"""Sums and maxima over a block's threads in Numba CUDA, through shared memory."""

from functools import cache
from typing import Any

from numba import from_dtype

from .numba_cuda import ROW, cuda


@cache
def folds(dtype: Any) -> tuple[Any, Any]:
    """Two device functions of a thread's value: the block's sum, and its maximum, in every thread."""
    number = from_dtype(dtype)

    @cuda.jit(device=True)
    def total(value):  # type: ignore[no-untyped-def]
        parts = cuda.shared.array(ROW, number)
        t = cuda.threadIdx.x
        parts[t] = value
        cuda.syncthreads()
        width = ROW // 2
        while width:
            if t < width:
                parts[t] += parts[t + width]
            cuda.syncthreads()
            width //= 2
        value = parts[0]
        cuda.syncthreads()  # the next call writes there
        return value

    @cuda.jit(device=True)
    def largest(value):  # type: ignore[no-untyped-def]
        parts = cuda.shared.array(ROW, number)
        t = cuda.threadIdx.x
        parts[t] = value
        cuda.syncthreads()
        width = ROW // 2
        while width:
            if t < width:
                parts[t] = max(parts[t], parts[t + width])
            cuda.syncthreads()
            width //= 2
        value = parts[0]
        cuda.syncthreads()
        return value

    return total, largest
