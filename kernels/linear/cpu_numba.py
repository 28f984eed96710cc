"""linear as matrix products by BLAS, a block of features for each thread.

Math     y = x·wᵀ + b;  dx = dy·w;  dw = dyᵀ·x;  db = Σ_n dy
Shapes   x (N, C), w (K, C), y (N, K)
Threads  each has blocks of K (forward, weights) or of C (data). A block is as wide on every machine, so that the result
         does not depend on how many threads there are
Traffic  w, or dw, once; the smaller x, y once for each block
Change   against cpu_numpy: the bias is added while the block is in the cache, and threads that do not spin
"""

from math import ceil

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import linear, linear_backward_data, linear_backward_weights
from alexnet_np.parallel import share

from ..blas import gemm
from ..compiled import LEAST, jit

STEP = 256  # features in a block


def _share(features: int, other: int, body):  # type: ignore[no-untyped-def]
    """body(lo, hi) over parts of the features that begin where a block begins."""
    blocks = ceil(features / STEP)
    share(blocks, lambda lo, hi: body(lo * STEP, min(hi * STEP, features)), least=ceil(LEAST / (STEP * other)))


@linear.kernel("cpu_numba")
def forward(x: Array, w: Array, b: Array, *, out: Array) -> None:
    _share(len(w), w.shape[1], lambda lo, hi: _forward(x, w, b, lo, hi, STEP, out))


@jit
def _forward(x, w, b, lo, hi, step, y):  # type: ignore[no-untyped-def]
    for k in range(lo, hi, step):
        stop = min(k + step, hi)
        gemm(x, False, w[k:stop], True, y[:, k:stop], False)
        for n in range(len(y)):
            _add(b[k:stop], y[n, k:stop])


@jit
def _add(b, y):  # type: ignore[no-untyped-def]
    for k in range(len(y)):
        y[k] += b[k]


@linear_backward_data.kernel("cpu_numba")
def backward_data(dy: Array, w: Array, *, out: Array) -> None:
    _share(w.shape[1], len(w), lambda lo, hi: _backward_data(dy, w, lo, hi, STEP, out))


@jit
def _backward_data(dy, w, lo, hi, step, dx):  # type: ignore[no-untyped-def]
    for c in range(lo, hi, step):
        stop = min(c + step, hi)
        gemm(dy, False, w[:, c:stop], False, dx[:, c:stop], False)


@linear_backward_weights.kernel("cpu_numba")
def backward_weights(dy: Array, x: Array, *, out: tuple[Array, Array]) -> None:
    dw, db = out
    _share(len(dw), x.shape[1], lambda lo, hi: _backward_weights(dy, x, lo, hi, STEP, dw))
    np.sum(dy, axis=0, out=db)


@jit
def _backward_weights(dy, x, lo, hi, step, dw):  # type: ignore[no-untyped-def]
    for k in range(lo, hi, step):
        stop = min(k + step, hi)
        gemm(dy[:, k:stop], True, x, False, dw[k:stop], False)
