"""lrn a few hundred pixels at a time, with all their channels.

Math     scale = k + a · Σ_window x²;  y = x · scale^(−β);
         dx = dy · scale^(−β) − 2·a·β · x · Σ_window (dy · x · scale^(−β−1))
Shapes   all (N, C, H·W); a group is a block of channels
Threads  each has its groups of images
Traffic  the least from memory, since a window's rows stay in the first-level cache while the channels pass; what is
         summed is kept for `size` channels, in a ring
Change   against cpu_numpy: one pass over memory in place of one for each member of a window, and threads
"""

from math import ceil

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import lrn, lrn_backward
from alexnet_np.parallel import share

from ..compiled import LEAST, jit, unsigned
from .channels_last import BETA

STEP = 1 << 12  # pixels at a time


def _blocks(pixels: int) -> int:
    """Pixels in a block: blocks of about the same length, so that none is a short rest."""
    return ceil(pixels / ceil(pixels / STEP))


@lrn.kernel("cpu_numba")
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
    N, C, H, W = x.shape
    x, y, scale = (array.reshape(N * groups, C // groups, H * W) for array in (x, *out))
    number = x.dtype.type
    options = size, number(k), number(alpha / size if alpha_over_size else alpha), number(beta)
    step = _blocks(H * W)
    share(len(x), lambda lo, hi: _forward(x[lo:hi], *options, step, y[lo:hi], scale[lo:hi]), least=_least(x))


def _least(x: Array) -> int:
    return ceil(LEAST / x[0].size)


@jit
def _forward(x, size, k, a, beta, step, y, scale):  # type: ignore[no-untyped-def]
    channels, pixels, half = x.shape[1], x.shape[2], size // 2
    for n in range(len(x)):
        flat, flat_scale, flat_y = x[n].reshape(-1), scale[n].reshape(-1), y[n].reshape(-1)
        for start in range(0, pixels, step):
            stop, c = min(start + step, pixels), 0
            while c < channels:
                done = 1
                if size == 5 and beta == BETA and 2 <= c < channels - 2:
                    if stop - start == pixels:  # one channel after the other is one row
                        done = channels - 4
                    i, j = c * pixels + start, (c + done - 1) * pixels + stop
                    _normalise_five(flat, pixels, i, j, k, a, flat_scale, flat_y)
                else:
                    total = scale[n, c, start:stop]
                    total[:] = k
                    for j in range(max(c - half, 0), min(c + half + 1, channels)):
                        _add_square(x[n, j, start:stop], a, total)
                    _times_inverse_power(x[n, c, start:stop], total, beta, y[n, c, start:stop])
                c += done


@jit
def _add_square(x, a, total):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        total[i] += a * (x[i] * x[i])


@jit
def _normalise_five(x, pixels, first, last, k, a, scale, y):  # type: ignore[no-untyped-def]
    """The paper's window and β, whole, in one pass over the elements first … last of a group.

    In two runs side by side: a processor fetches each ahead, and of one alone too little.
    """
    run = (last - first) // 2
    for i in range(run):
        _five(x, pixels, first + i, k, a, scale, y)
        _five(x, pixels, first + run + i, k, a, scale, y)
    if first + 2 * run < last:
        _five(x, pixels, last - 1, k, a, scale, y)


@jit
def _five(x, pixels, i, k, a, scale, y):  # type: ignore[no-untyped-def]
    x0, x1, x2 = x[unsigned(i - 2 * pixels)], x[unsigned(i - pixels)], x[unsigned(i)]
    x3, x4 = x[unsigned(i + pixels)], x[unsigned(i + 2 * pixels)]
    s = k + a * (x0 * x0 + x1 * x1 + x2 * x2 + x3 * x3 + x4 * x4)
    scale[unsigned(i)], y[unsigned(i)] = s, x2 * _inverse_power(s)


@jit
def _inverse_power(scale):  # type: ignore[no-untyped-def]
    """scale^(−3/4) by square roots, since a general power is many times slower.

    A reciprocal root is an approximation and a step of Newton's, which makes NaN of infinity. The scale's own, not that
    of a power of it: this would be beyond float32 long before the scale is.
    """
    one, zero, infinity = type(scale)(1), type(scale)(0), type(scale)(np.inf)
    half = zero if scale == infinity else one / np.sqrt(scale)
    return half * np.sqrt(half)


@jit
def _times_inverse_power(x, scale, beta, y):  # type: ignore[no-untyped-def]
    """y = x · scale^(−β)."""
    if beta == BETA:
        for i in range(len(x)):
            y[i] = x[i] * _inverse_power(scale[i])
    else:
        for i in range(len(x)):
            y[i] = x[i] * scale[i] ** -beta


@lrn_backward.kernel("cpu_numba")
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
    N, C, H, W = x.shape
    dy, x, scale, dx = (array.reshape(N * groups, C // groups, H * W) for array in (dy, x, scale, out))
    number = x.dtype.type
    a = alpha / size if alpha_over_size else alpha
    step = _blocks(H * W)

    def body(lo: int, hi: int) -> None:
        ring = np.empty((size + 1, step), x.dtype)
        _backward(dy[lo:hi], x[lo:hi], scale[lo:hi], size, number(-2 * a * beta), number(beta), ring, dx[lo:hi])

    share(len(x), body, least=_least(x))


@jit
def _backward(dy, x, scale, size, factor, beta, ring, dx):  # type: ignore[no-untyped-def]
    channels, half, step = x.shape[1], size // 2, ring.shape[1]
    for n in range(len(x)):
        for start in range(0, x.shape[2], step):
            stop = min(start + step, x.shape[2])
            width = stop - start
            for last in range(channels + half):
                # Channel `last` enters the ring, and the window of channel c is complete.
                if last < channels:
                    direct = dx[n, last, start:stop]
                    ratio = ring[last % size, :width]
                    _terms(
                        dy[n, last, start:stop], x[n, last, start:stop], scale[n, last, start:stop], beta, direct, ratio
                    )
                c = last - half
                if c >= 0:
                    total, result = ring[size, :width], dx[n, c, start:stop]
                    if size == 5 and 2 <= c < channels - 2:
                        _add_product_of_five(
                            factor, x[n, c, start:stop], ring[0], ring[1], ring[2], ring[3], ring[4], result
                        )
                    else:
                        total[:] = 0
                        for j in range(max(c - half, 0), min(c + half + 1, channels)):
                            _add(ring[j % size, :width], total)
                        _add_product(factor, x[n, c, start:stop], total, result)


@jit
def _terms(dy, x, scale, beta, direct, ratio):  # type: ignore[no-untyped-def]
    """dy · scale^(−β), and that times x / scale."""
    if beta == BETA:
        for i in range(len(x)):
            direct[i] = dy[i] * _inverse_power(scale[i])
            ratio[i] = direct[i] * x[i] / scale[i]
    else:
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


@jit
def _add_product_of_five(factor, x, r0, r1, r2, r3, r4, dx):  # type: ignore[no-untyped-def]
    """The paper's window, whole, in one pass; it fills the ring, so where in the ring it begins does not matter."""
    for i in range(len(x)):
        dx[i] += factor * x[i] * (r0[i] + r1[i] + r2[i] + r3[i] + r4[i])
