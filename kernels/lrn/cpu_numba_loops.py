"""lrn a few thousand pixels at a time, with all their channels.

Math     scale = k + a · Σ_window x²;  y = x · scale^(−β);
         dx = dy · scale^(−β) − 2·a·β · x · Σ_window (dy · x · scale^(−β−1))
Shapes   all (N, C, H·W); a group is a block of channels
Threads  each has its groups of images
Traffic  the least from memory, since a window's rows stay in the caches while the channels pass; what is summed is kept
         for `size` channels, in a ring
Change   against cpu_numpy: one pass over memory in place of one for each member of a window, and threads
"""

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import lrn, lrn_backward

from ..compiled import jit
from .groups import block, grouped, share_groups


@lrn.kernel("cpu_numba/loops")
def forward(
    x: Array,
    *,
    size: int,
    k: float,
    alpha: float,
    beta: float,
    alpha_over_size: bool,
    groups: int,
    out: tuple[Array, Array],
) -> None:
    x, y, scale = grouped(groups, x, *out)
    options = size, *map(x.dtype.type, (k, alpha / size if alpha_over_size else alpha, beta)), block(x.shape[2])
    share_groups(x, lambda lo, hi: _forward(x[lo:hi], *options, y[lo:hi], scale[lo:hi]))


@jit
def _forward(x, size, k, a, beta, step, y, scale):  # type: ignore[no-untyped-def]
    channels, pixels, half = x.shape[1], x.shape[2], size // 2
    for n in range(len(x)):
        for start in range(0, pixels, step):
            stop = min(start + step, pixels)
            for c in range(channels):
                total = scale[n, c, start:stop]
                total[:] = 0
                for j in range(max(c - half, 0), min(c + half + 1, channels)):
                    _add_square(x[n, j, start:stop], total)
                _normalise(x[n, c, start:stop], k, a, beta, total, y[n, c, start:stop])


@jit
def _add_square(x, total):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        total[i] += x[i] * x[i]


@jit
def _normalise(x, k, a, beta, scale, y):  # type: ignore[no-untyped-def]
    """scale = k + a · the sum that stands there, which k, the largest term, joins last: it is rounded once then."""
    for i in range(len(x)):
        scale[i] = k + a * scale[i]
        y[i] = x[i] * scale[i] ** -beta


@lrn_backward.kernel("cpu_numba/loops")
def backward(
    dy: Array,
    x: Array,
    scale: Array,
    *,
    size: int,
    k: float,
    alpha: float,
    beta: float,
    alpha_over_size: bool,
    groups: int,
    out: Array,
) -> None:
    dy, x, scale, dx = grouped(groups, dy, x, scale, out)
    factor = -2 * beta * (alpha / size if alpha_over_size else alpha)
    options = size, x.dtype.type(factor), x.dtype.type(beta)

    def body(lo: int, hi: int) -> None:
        ring = np.empty((size + 1, block(x.shape[2])), x.dtype)
        _backward(dy[lo:hi], x[lo:hi], scale[lo:hi], *options, ring, dx[lo:hi])

    share_groups(x, body)


@jit
def _backward(dy, x, scale, size, factor, beta, ring, dx):  # type: ignore[no-untyped-def]
    channels, pixels, half, step = x.shape[1], x.shape[2], size // 2, ring.shape[1]
    for n in range(len(x)):
        for start in range(0, pixels, step):
            stop = min(start + step, pixels)
            total = ring[size, : stop - start]
            for last in range(channels + half):
                # Channel `last` enters the ring, and the window of channel c is complete.
                if last < channels:
                    parts = dy[n, last, start:stop], x[n, last, start:stop], scale[n, last, start:stop]
                    _terms(*parts, beta, dx[n, last, start:stop], ring[last % size, : stop - start])
                c = last - half
                if c >= 0:
                    total[:] = 0
                    for j in range(max(c - half, 0), min(c + half + 1, channels)):
                        _add(ring[j % size, : stop - start], total)
                    _add_product(factor, x[n, c, start:stop], total, dx[n, c, start:stop])


@jit
def _terms(dy, x, scale, beta, direct, ratio):  # type: ignore[no-untyped-def]
    """dy · scale^(−β), and that times x / scale."""
    for i in range(len(x)):
        direct[i] = dy[i] * scale[i] ** -beta
        ratio[i] = direct[i] * x[i] / scale[i]


@jit
def _add(x, total):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        total[i] += x[i]


@jit
def _add_product(factor, x, total, dx):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        dx[i] += factor * x[i] * total[i]
