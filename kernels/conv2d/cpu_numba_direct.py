"""conv2d by plain loops: the lowest rung, with nothing in between.

Math     y[n,k] = b[k] + Σ_{c,r,s} w[k,c,r,s] · x̂[n, c, ·], one plane scaled and added for each weight; the backwards
         alike, dw[k,c,r,s] as a sum of products of two planes
Shapes   as the operation
Threads  each has some planes: of y, of dx, or of dw (all r, s of one k, c)
Traffic  a plane of y is read and written, and one of x read, for each weight; they come from the caches
Change   against the definition: compiled, with rows as vectors, and threads
"""

from math import ceil

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.parallel import share

from ..chunks import small_in_tests
from ..compiled import LEAST, jit
from .columns import inside

small_in_tests(__name__, LEAST=1)


@conv2d.kernel("cpu_numba/direct")
def forward(x: Array, w: Array, b: Array, *, stride: Pair, padding: Sides, groups: int, out: Array) -> None:
    before, least = (padding[0][0], padding[1][0]), ceil(LEAST / (w[0].size * out[0, 0].size))
    share(len(x) * len(w), lambda lo, hi: _forward(x, w, b, stride, before, groups, lo, hi, out), least=least)


@jit
def _forward(x, w, b, stride, before, groups, lo, hi, y):  # type: ignore[no-untyped-def]
    (K, channels, R, S), (H, W), (P, Q) = w.shape, x.shape[2:], y.shape[2:]
    for plane in range(lo, hi):
        n, k = divmod(plane, K)
        y[n, k] = b[k]
        for c in range(channels):
            seen = x[n, k * groups // K * channels + c]
            for r in range(R):
                p0, p1 = inside(r, P, stride[0], before[0], H)
                for s in range(S):
                    q0, q1 = inside(s, Q, stride[1], before[1], W)
                    for p in range(p0, p1):
                        row = seen[p * stride[0] + r - before[0], q0 * stride[1] + s - before[1] :]
                        _add_scaled(w[k, c, r, s], row, stride[1], y[n, k, p, q0:q1], 1, q1 - q0)


@jit
def _add_scaled(factor, x, x_step, y, y_step, count):  # type: ignore[no-untyped-def]
    if x_step == 1 and y_step == 1:
        for i in range(count):
            y[i] += factor * x[i]
    else:
        for i in range(count):
            y[y_step * i] += factor * x[x_step * i]


@conv2d_backward_data.kernel("cpu_numba/direct")
def backward_data(
    dy: Array, w: Array, *, x_shape: tuple[int, ...], stride: Pair, padding: Sides, groups: int, out: Array
) -> None:
    before, least = (padding[0][0], padding[1][0]), ceil(LEAST / (w[:, 0].size * dy[0, 0].size))
    share(
        x_shape[0] * x_shape[1], lambda lo, hi: _backward_data(dy, w, stride, before, groups, lo, hi, out), least=least
    )


@jit
def _backward_data(dy, w, stride, before, groups, lo, hi, dx):  # type: ignore[no-untyped-def]
    (K, channels, R, S), (H, W), (P, Q) = w.shape, dx.shape[2:], dy.shape[2:]
    filters = K // groups
    for plane in range(lo, hi):
        n, channel = divmod(plane, dx.shape[1])
        g, c = divmod(channel, channels)
        dx[n, channel] = 0
        for k in range(g * filters, (g + 1) * filters):
            for r in range(R):
                p0, p1 = inside(r, P, stride[0], before[0], H)
                for s in range(S):
                    q0, q1 = inside(s, Q, stride[1], before[1], W)
                    for p in range(p0, p1):
                        row = dx[n, channel, p * stride[0] + r - before[0], q0 * stride[1] + s - before[1] :]
                        _add_scaled(w[k, c, r, s], dy[n, k, p, q0:q1], 1, row, stride[1], q1 - q0)


@conv2d_backward_weights.kernel("cpu_numba/direct")
def backward_weights(
    dy: Array,
    x: Array,
    *,
    w_shape: tuple[int, ...],
    stride: Pair,
    padding: Sides,
    groups: int,
    out: tuple[Array, Array],
) -> None:
    dw, db = out
    before, least = (padding[0][0], padding[1][0]), ceil(LEAST / (dw[0, 0].size * len(x) * dy[0, 0].size))
    share(
        w_shape[0] * w_shape[1],
        lambda lo, hi: _backward_weights(dy, x, stride, before, groups, lo, hi, dw),
        least=least,
    )
    np.sum(dy, axis=(0, 2, 3), out=db)


@jit
def _backward_weights(dy, x, stride, before, groups, lo, hi, dw):  # type: ignore[no-untyped-def]
    (K, channels, R, S), (H, W), (N, _, P, Q) = dw.shape, x.shape[2:], dy.shape
    for pair in range(lo, hi):
        k, c = divmod(pair, channels)
        for r in range(R):
            p0, p1 = inside(r, P, stride[0], before[0], H)
            for s in range(S):
                q0, q1 = inside(s, Q, stride[1], before[1], W)
                total = np.float64(0)
                for n in range(N):
                    for p in range(p0, p1):
                        row = x[n, k * groups // K * channels + c, p * stride[0] + r - before[0]]
                        total += _dot(dy[n, k, p, q0:q1], row[q0 * stride[1] + s - before[1] :], stride[1])
                dw[k, c, r, s] = total


@jit
def _dot(dy, x, step):  # type: ignore[no-untyped-def]
    total = dy.dtype.type(0)
    if step == 1:
        for i in range(len(dy)):
            total += dy[i] * x[i]
    else:
        for i in range(len(dy)):
            total += dy[i] * x[step * i]
    return total
