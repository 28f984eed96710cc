"""conv2d as matrix products over columns that stay in the cache.

Math     y[n,g] = w[g] @ columns[n,g] + b[g];  dcolumns[n,g] = w[g]ᵀ @ dy[n,g];  dw[g] = Σ_n dy[n,g] @ columns[n,g]ᵀ
Shapes   w[g] (K/G, C/G·R·S), columns[n,g] (C/G·R·S, P·Q), y[n,g] (K/G, P·Q)
Threads  each has its images, and calls BLAS, with one thread, on its own. The weights' gradient is added up in bundles
         of images, as many on every machine, so that the result does not depend on how many threads there are
Traffic  x, y and w once from memory; columns of one image, or of some rows of its windows, are used where they are made
Change   against im2col: the columns never reach memory, and nobody waits for BLAS's threads
"""

from math import ceil
from typing import Any

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.parallel import one_thread_in_blas, share

from ..blas import gemm
from ..chunks import rows_at_a_time
from ..compiled import jit
from .columns import gather, scatter


@conv2d.kernel("cpu_numba/columns")
def forward(x: Array, w: Array, b: Array, *, stride: Pair, padding: Sides, groups: int, out: Array) -> None:
    (N, K, P, Q), rows = out.shape, w[0].size
    before, filters = (padding[0][0], padding[1][0]), w.reshape(K, rows)
    step = rows_at_a_time(rows * Q * x.itemsize, P)
    parts = ceil(P / step)
    y = out.reshape(N, K, P * Q)

    def body(lo: int, hi: int) -> None:
        columns = np.empty(rows * step * Q, x.dtype)
        _forward(x, filters, b, w.shape[2:], stride, before, groups, step, lo, hi, columns, Q, y)

    with one_thread_in_blas():
        share(N * parts, body)


@jit
def _forward(x, w, b, size, stride, before, groups, step, lo, hi, columns, Q, y):  # type: ignore[no-untyped-def]
    P, (K, rows), channels = y.shape[2] // Q, w.shape, x.shape[1] // groups
    filters, parts = K // groups, (P + step - 1) // step
    for part in range(lo, hi):
        n, top = part // parts, part % parts * step
        bottom = min(top + step, P)
        pixels = (bottom - top) * Q
        block = columns[: rows * pixels]
        for g in range(groups):
            k = g * filters
            image = x[n, g * channels : (g + 1) * channels]
            gather(image, size, stride, before, 0, top, block.reshape(rows, bottom - top, Q))
            product = y[n, k : k + filters, top * Q : bottom * Q]
            gemm(w[k : k + filters], False, block.reshape(rows, pixels), False, product, False)
            for i in range(filters):
                _add_number(y[n, k + i, top * Q : bottom * Q], b[k + i])


@jit
def _add_number(y, number):  # type: ignore[no-untyped-def]
    for i in range(len(y)):
        y[i] += number


@conv2d_backward_data.kernel("cpu_numba/columns")
def backward_data(
    dy: Array, w: Array, *, x_shape: tuple[int, ...], stride: Pair, padding: Sides, groups: int, out: Array
) -> None:
    (N, K, P, Q), (R, S), channels = dy.shape, w.shape[2:], w.shape[1]
    before, filters = (padding[0][0], padding[1][0]), w.reshape(K, channels * R * S)
    step = rows_at_a_time(R * S * P * Q * dy.itemsize, channels)
    gradient, dx = dy.reshape(N, K, P * Q), out.reshape(N * groups, channels, *x_shape[2:])

    def body(lo: int, hi: int) -> None:
        columns = np.empty((step * R * S, P, Q), dy.dtype)
        _backward_data(gradient, filters, (R, S), stride, before, groups, lo, hi, columns, dx)

    with one_thread_in_blas():
        share(N * groups * ceil(channels / step), body)


@jit
def _backward_data(dy, w, size, stride, before, groups, lo, hi, columns, dx):  # type: ignore[no-untyped-def]
    filters, window = len(w) // groups, size[0] * size[1]
    channels, step = dx.shape[1], len(columns) // window
    parts = (channels + step - 1) // step
    for part in range(lo, hi):
        plane, first = part // parts, part % parts * step
        n, g = divmod(plane, groups)
        stop = min(first + step, channels)
        block = columns[: (stop - first) * window]
        weights = w[g * filters : (g + 1) * filters, first * window : stop * window]
        gemm(weights, True, dy[n, g * filters : (g + 1) * filters], False, block.reshape(len(block), -1), False)
        target = dx[plane, first:stop]
        target[:] = 0
        scatter(block, size, stride, before, 0, target)


def _bundles(images: int) -> int:
    """Into how many sums the images are divided: enough for many threads, and few beside the images."""
    return max(min(images, 2), min(images // 8, 16))


def _sums(dy: Spec, x: Spec, *, w_shape: tuple[int, ...], **_: Any) -> Spec:
    return Spec((_bundles(x.shape[0]), w_shape[0], w_shape[1] * w_shape[2] * w_shape[3] + 1), dy.dtype)


@conv2d_backward_weights.kernel("cpu_numba/columns", workspace=_sums)
def backward_weights(
    dy: Array,
    x: Array,
    *,
    w_shape: tuple[int, ...],
    stride: Pair,
    padding: Sides,
    groups: int,
    out: tuple[Array, Array],
    workspace: Array,
) -> None:
    dw, db = out
    (N, K, P, Q), rows = dy.shape, dw[0].size
    before, gradient = (padding[0][0], padding[1][0]), dy.reshape(N, K, P * Q)
    step, bundles = rows_at_a_time(rows * Q * x.itemsize, P), len(workspace)
    sums, sums_of_dy = workspace[:, :, :rows], workspace[:, :, rows]

    def body(lo: int, hi: int) -> None:
        columns = np.empty(rows * step * Q, x.dtype)
        for i in range(lo, hi):
            images = slice(i * N // bundles, (i + 1) * N // bundles)
            _backward_weights(
                gradient[images], x[images], w_shape[2:], stride, before, groups, step, columns, Q, sums[i]
            )
            np.sum(gradient[images], axis=(0, 2), out=sums_of_dy[i])

    filters = dw.reshape(K, rows)
    with one_thread_in_blas():
        share(bundles, body)
        share(K, lambda lo, hi: np.sum(sums[:, lo:hi], axis=0, out=filters[lo:hi]))
    np.sum(sums_of_dy, axis=0, out=db)


@jit
def _backward_weights(dy, x, size, stride, before, groups, step, columns, Q, dw):  # type: ignore[no-untyped-def]
    P, (K, rows), channels = dy.shape[2] // Q, dw.shape, x.shape[1] // groups
    filters = K // groups
    for n in range(len(x)):
        for top in range(0, P, step):
            bottom = min(top + step, P)
            pixels = (bottom - top) * Q
            block = columns[: rows * pixels]
            for g in range(groups):
                k = g * filters
                image = x[n, g * channels : (g + 1) * channels]
                gather(image, size, stride, before, 0, top, block.reshape(rows, bottom - top, Q))
                gradient = dy[n, k : k + filters, top * Q : bottom * Q]
                gemm(gradient, False, block.reshape(rows, pixels), True, dw[k : k + filters], n > 0 or top > 0)
