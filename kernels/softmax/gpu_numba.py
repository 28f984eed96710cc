"""Softmax in Numba CUDA: a block for each row.

Math     y = exp(x − max x) / Σ exp(x − max x);  dx = y · (dy − Σ dy·y)
Shapes   x, y, dy, dx (N, K)
Threads  grid N, block 128; a thread has every 128th class
Traffic  x and y once from memory; a row comes from the cache when it is read again
Change   against one thread for a row: 128 of them, whose sums meet in shared memory
"""

import math
from typing import Any

from alexnet_np.backend import Array
from alexnet_np.ops import softmax, softmax_backward

from ..numba_cuda import ROW, cuda, kernel, launch, per_dtype
from ..numba_sums import folds

ROWS = "float32[:, ::1]"


@per_dtype
def _kernels(dtype: Any) -> tuple[Any, Any]:
    total, largest = folds(dtype)

    @kernel(ROWS, ROWS)
    def forward(x, y):  # type: ignore[no-untyped-def]
        n, t, K = cuda.blockIdx.x, cuda.threadIdx.x, x.shape[1]
        top = x[n, min(t, K - 1)]
        for k in range(t, K, ROW):
            top = max(top, x[n, k])
        top = largest(top)
        sum_ = x.dtype.type(0)
        for k in range(t, K, ROW):
            e = math.exp(x[n, k] - top)
            y[n, k] = e
            sum_ += e
        sum_ = total(sum_)
        for k in range(t, K, ROW):
            y[n, k] /= sum_

    @kernel(ROWS, ROWS, ROWS)
    def backward(dy, y, dx):  # type: ignore[no-untyped-def]
        n, t, K = cuda.blockIdx.x, cuda.threadIdx.x, y.shape[1]
        sum_ = y.dtype.type(0)
        for k in range(t, K, ROW):
            sum_ += dy[n, k] * y[n, k]
        sum_ = total(sum_)
        for k in range(t, K, ROW):
            dx[n, k] = y[n, k] * (dy[n, k] - sum_)

    return forward, backward


@softmax.kernel("gpu_numba")
def forward(x: Array, *, out: Array) -> None:
    launch(_kernels(x.dtype)[0], (len(x),), (ROW,), x, out)


@softmax_backward.kernel("gpu_numba")
def backward(dy: Array, y: Array, *, out: Array) -> None:
    launch(_kernels(y.dtype)[1], (len(y),), (ROW,), dy, y, out)
