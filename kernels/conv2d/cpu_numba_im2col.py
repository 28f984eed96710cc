"""conv2d as matrix products over the columns of the whole batch.

Math     y[n,g] = w[g] @ columns[n,g] + b[g];  dcolumns[n,g] = w[g]ᵀ @ dy[n,g];  dw[g] = Σ_n dy[n,g] @ columns[n,g]ᵀ
Shapes   w[g] (K/G, C/G·R·S), columns[n,g] (C/G·R·S, P·Q), y[n,g] (K/G, P·Q)
Threads  each gathers or scatters some images; then those of BLAS
Traffic  columns are R·S/stride² times the input, written to memory and read from there once
Change   against direct loops: BLAS multiplies, at a rate that loops do not reach; the columns are what that costs
"""

from typing import Any

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.parallel import share

from ..blas import gemm
from ..compiled import jit
from .columns import gather, scatter


def _columns(images: int, channels: int, w: tuple[int, ...], y: tuple[int, ...], like: Spec) -> Spec:
    return Spec((images, channels * w[2] * w[3], y[2], y[3]), like.dtype)


def _forward_columns(x: Spec, w: Spec, b: Spec, **keywords: Any) -> Spec:
    return _columns(x.shape[0], x.shape[1], w.shape, conv2d.infer(x, w, b, **keywords)[0].shape, x)


@conv2d.kernel("cpu_numba/im2col", workspace=_forward_columns)
def forward(
    x: Array, w: Array, b: Array, *, stride: Pair, padding: Sides, groups: int, out: Array, workspace: Array
) -> None:
    (N, K, P, Q), before = out.shape, (padding[0][0], padding[1][0])
    share(N, lambda lo, hi: _gather(x[lo:hi], w.shape[2:], stride, before, workspace[lo:hi]))
    filters, y = w.reshape(groups, K // groups, -1), out.reshape(N, groups, K // groups, P * Q)
    np.matmul(filters, workspace.reshape(N, groups, -1, P * Q), out=y)
    out += b[:, None, None]


@jit
def _gather(x, size, stride, before, columns):  # type: ignore[no-untyped-def]
    for n in range(len(x)):
        gather(x[n], size, stride, before, 0, 0, columns[n])


def _data_columns(dy: Spec, w: Spec, *, x_shape: tuple[int, ...], **_: Any) -> Spec:
    return _columns(x_shape[0], x_shape[1], w.shape, dy.shape, dy)


@conv2d_backward_data.kernel("cpu_numba/im2col", workspace=_data_columns)
def backward_data(
    dy: Array,
    w: Array,
    *,
    x_shape: tuple[int, ...],
    stride: Pair,
    padding: Sides,
    groups: int,
    out: Array,
    workspace: Array,
) -> None:
    (N, K, P, Q), before = dy.shape, (padding[0][0], padding[1][0])
    filters, gradient = w.reshape(groups, K // groups, -1), dy.reshape(N, groups, K // groups, P * Q)
    np.matmul(filters.transpose(0, 2, 1), gradient, out=workspace.reshape(N, groups, -1, P * Q))
    share(N, lambda lo, hi: _scatter(workspace[lo:hi], w.shape[2:], stride, before, out[lo:hi]))


@jit
def _scatter(columns, size, stride, before, dx):  # type: ignore[no-untyped-def]
    for n in range(len(dx)):
        dx[n] = 0
        scatter(columns[n], size, stride, before, 0, dx[n])


def _weights_columns(dy: Spec, x: Spec, *, w_shape: tuple[int, ...], **_: Any) -> Spec:
    return _columns(x.shape[0], x.shape[1], w_shape, dy.shape, dy)


@conv2d_backward_weights.kernel("cpu_numba/im2col", workspace=_weights_columns)
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
    (N, K, P, Q), before = dy.shape, (padding[0][0], padding[1][0])
    share(N, lambda lo, hi: _gather(x[lo:hi], w_shape[2:], stride, before, workspace[lo:hi]))
    gradient, columns = dy.reshape(N, groups, K // groups, P * Q), workspace.reshape(N, groups, -1, P * Q)
    filters = dw.reshape(groups, K // groups, -1)
    for n in range(N):
        for g in range(groups):
            gemm(gradient[n, g], False, columns[n, g], True, filters[g], n > 0)
    np.sum(dy, axis=(0, 2, 3), out=db)
