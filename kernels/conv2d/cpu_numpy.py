"""conv2d as matrix products over columns: im2col of a few images, then one product for each group.

Math     y[g] = w[g] @ columns[g] + b[g];  dcolumns[g] = w[g]ᵀ @ dy[g];  dw[g] = dy[g] @ columns[g]ᵀ
Shapes   w[g] (K/G, C/G·R·S), columns[g] (C/G·R·S, n·P·Q), y[g] (K/G, n·P·Q) for a chunk of n images
Threads  those of BLAS
Traffic  columns are R·S/stride² times the input, written and read once; a chunk of them fits the cache
Change   against the definition: one product for all outputs of a few images, in place of one pass for each weight.
         The images of a chunk stand side by side, since BLAS runs faster on one large product than on many small ones
"""

from typing import Any

from alexnet_np.backend import Array, array_module
from alexnet_np.operation import Spec
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.im2col import gather, scatter
from alexnet_np.ops.windows import Pair, Sides

from ..chunks import chunks, images_at_a_time


def _scratch(images: int, channels: int, window: tuple[int, ...], y: tuple[int, ...], like: Spec) -> Spec:
    """Room for a chunk's columns (C·R·S, n, P·Q) and its outputs with the channels in front (K, n, P·Q)."""
    rows = channels * window[0] * window[1] + y[1]
    size = rows * y[2] * y[3]
    return Spec((images_at_a_time(size * like.dtype.itemsize, images), size), like.dtype)


def _split(workspace: Array, n: int, rows: int, y: tuple[int, ...]) -> tuple[Array, Array]:
    """The workspace as columns (rows, n, P·Q) and outputs (K, n, P·Q)."""
    flat, size = workspace.reshape(-1), n * y[2] * y[3]
    columns = flat[: rows * size].reshape(rows, n, y[2] * y[3])
    return columns, flat[rows * size : (rows + y[1]) * size].reshape(y[1], n, y[2] * y[3])


def _windows(columns: Array, channels: int, size: tuple[int, ...], y: tuple[int, ...]) -> Array:
    """Columns (C·R·S, n, P·Q) seen as (n, C, R, S, P, Q)."""
    return columns.reshape(channels, *size, columns.shape[1], y[2], y[3]).transpose(3, 0, 1, 2, 4, 5)


def _forward_scratch(x: Spec, w: Spec, b: Spec, **keywords: Any) -> Spec:
    return _scratch(x.shape[0], x.shape[1], w.shape[2:], conv2d.infer(x, w, b, **keywords)[0].shape, x)


@conv2d.kernel("cpu_numpy", workspace=_forward_scratch)
def forward(
    x: Array, w: Array, b: Array, *, stride: Pair, padding: Sides, groups: int, out: Array, workspace: Array
) -> None:
    N, K, P, Q = out.shape
    C, size = x.shape[1], w.shape[2:]
    filters = w.reshape(groups, K // groups, -1)
    for images in chunks(N, len(workspace)):
        n = images.stop - images.start
        columns, y = _split(workspace, n, C * size[0] * size[1], out.shape)
        gather(x[images], padding, stride, _windows(columns, C, size, out.shape))
        product = y.reshape(groups, K // groups, n * P * Q)
        array_module(x).matmul(filters, columns.reshape(groups, -1, n * P * Q), out=product)
        y += b[:, None, None]
        out[images].reshape(n, K, P * Q)[...] = y.transpose(1, 0, 2)


def _data_scratch(dy: Spec, w: Spec, *, x_shape: tuple[int, ...], **_: Any) -> Spec:
    return _scratch(dy.shape[0], x_shape[1], w.shape[2:], dy.shape, dy)


@conv2d_backward_data.kernel("cpu_numpy", workspace=_data_scratch)
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
    N, K, P, Q = dy.shape
    C, size = x_shape[1], w.shape[2:]
    filters = w.reshape(groups, K // groups, -1).transpose(0, 2, 1)
    for images in chunks(N, len(workspace)):
        n = images.stop - images.start
        columns, gradient = _split(workspace, n, C * size[0] * size[1], dy.shape)
        gradient[...] = dy[images].reshape(n, K, P * Q).transpose(1, 0, 2)
        product = columns.reshape(groups, -1, n * P * Q)
        array_module(dy).matmul(filters, gradient.reshape(groups, K // groups, n * P * Q), out=product)
        out[images] = scatter(_windows(columns, C, size, dy.shape), (n, *x_shape[1:]), padding, stride)


def _weights_scratch(dy: Spec, x: Spec, *, w_shape: tuple[int, ...], **_: Any) -> Spec:
    return _scratch(dy.shape[0], x.shape[1], w_shape[2:], dy.shape, dy)


@conv2d_backward_weights.kernel("cpu_numpy", workspace=_weights_scratch)
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
    N, K, P, Q = dy.shape
    C, size = x.shape[1], w_shape[2:]
    dw[...] = 0
    db[...] = dy.sum(axis=(0, 2, 3))
    for images in chunks(N, len(workspace)):
        n = images.stop - images.start
        columns, gradient = _split(workspace, n, C * size[0] * size[1], dy.shape)
        gather(x[images], padding, stride, _windows(columns, C, size, dy.shape))
        gradient[...] = dy[images].reshape(n, K, P * Q).transpose(1, 0, 2)
        columns, gradient = (a.reshape(groups, -1, n * P * Q) for a in (columns, gradient))
        dw += (gradient @ columns.transpose(0, 2, 1)).reshape(dw.shape)
