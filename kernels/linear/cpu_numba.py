"""linear as matrix products by BLAS, a block of features after the other in each thread.

Math     y = x·wᵀ + b;  dx = dy·w;  dw = dyᵀ·x;  db = Σ_n dy
Shapes   x (N, C), w (K, C), y (N, K)
Threads  each has blocks of K (forward, weights) or of C (data). A block is as wide on every machine, so that the result
         does not depend on how many threads there are
Traffic  w, or dw, once; the smaller x, y once for each block
Change   against cpu_numpy: our threads, which do not spin when they wait, and the bias while a block is in the cache.
         For the weights BLAS is called from compiled code: matmul goes without it for the products of one image
"""

from collections.abc import Callable
from math import ceil

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import linear, linear_backward_data, linear_backward_weights
from alexnet_np.parallel import one_thread_in_blas, share

from ..blas import gemm
from ..chunks import small_in_tests
from ..compiled import LEAST

STEP = 512  # features in a block, at most
BLOCKS, WIDE = 4, 16  # so many blocks at least, as far as each has so many features
small_in_tests(__name__, STEP=8, LEAST=1)


def _blocks(features: int, weights: int, body: Callable[[slice], None]) -> None:
    """body(block) for every block of the features, each thread some of them."""

    step = min(STEP, ceil(features / BLOCKS / WIDE) * WIDE)

    def part(lo: int, hi: int) -> None:
        for start in range(lo * step, min(hi * step, features), step):
            body(slice(start, min(start + step, features)))

    with one_thread_in_blas():
        share(ceil(features / step), part, least=ceil(LEAST * features / (weights * step)))


@linear.kernel("cpu_numba")
def forward(x: Array, w: Array, b: Array, *, out: Array) -> None:
    def product(block: slice) -> None:
        np.matmul(x, w[block].T, out=out[:, block])
        out[:, block] += b[block]

    _blocks(len(w), w.size, product)


@linear_backward_data.kernel("cpu_numba")
def backward_data(dy: Array, w: Array, *, out: Array) -> None:
    _blocks(w.shape[1], w.size, lambda block: np.matmul(dy, w[:, block], out=out[:, block]))


@linear_backward_weights.kernel("cpu_numba")
def backward_weights(dy: Array, x: Array, *, out: tuple[Array, Array]) -> None:
    dw, db = out
    _blocks(len(dw), dw.size, lambda block: gemm(dy[:, block], True, x, False, dw[block], False))
    np.sum(dy, axis=0, out=db)
