"""softmax part by part of the rows: forward by NumPy, backward compiled.

Math     y = exp(x − max) / Σ exp(x − max);  dx = y · (dy − Σ dy · y)
Shapes   all (N, K)
Threads  each has a contiguous part of the rows
Traffic  y is written three times; the rows of a part stay in the second-level cache
Change   against cpu_numpy: no temporaries, and threads. Forward is not compiled: a compiled exponential is no vector
         code, unless a library of Intel's is there, and a compiled division multiplies by a reciprocal, one rounding
         more than this operation has room for
"""

from math import ceil

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import softmax, softmax_backward
from alexnet_np.parallel import share

from ..compiled import LEAST, jit


@softmax.kernel("cpu_numba")
def forward(x: Array, *, out: Array) -> None:
    share(len(x), lambda lo, hi: _forward(x[lo:hi], out[lo:hi]), least=ceil(LEAST / x.shape[1]))


def _forward(x: Array, y: Array) -> None:
    np.subtract(x, x.max(axis=1, keepdims=True), out=y)
    np.exp(y, out=y)
    np.divide(y, y.sum(axis=1, keepdims=True), out=y)


@softmax_backward.kernel("cpu_numba")
def backward(dy: Array, y: Array, *, out: Array) -> None:
    share(len(y), lambda lo, hi: _backward(dy[lo:hi], y[lo:hi], out[lo:hi]), least=ceil(LEAST / y.shape[1]))


@jit
def _backward(dy, y, dx):  # type: ignore[no-untyped-def]
    for n in range(len(y)):
        gradient, row, result, total = dy[n], y[n], dx[n], y.dtype.type(0)
        for k in range(len(row)):
            total += gradient[k] * row[k]
        for k in range(len(row)):
            result[k] = row[k] * (gradient[k] - total)
