"""conv2d as matrix products over columns: im2col of a few images, then one product per image and group.

Math     y[n,g] = w[g] @ columns[n,g] + b[g];  dcolumns = w[g]ᵀ @ dy[n,g];  dw[g] = Σ_n dy[n,g] @ columns[n,g]ᵀ
Shapes   w[g] (K/G, C/G·R·S), columns[n,g] (C/G·R·S, P·Q), y[n,g] (K/G, P·Q)
Threads  those of BLAS
Traffic  columns are R·S/stride² times the input, written and read once; a chunk of them fits the cache
Change   against the definition: one product for all outputs of an image, in place of one sum for each
"""

from typing import Any

from alexnet_np.backend import Array, array_module
from alexnet_np.operation import Spec
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.im2col import col2im, im2col
from alexnet_np.ops.windows import Pair, Sides

from ..chunks import chunks, images_at_a_time


def _columns(images: int, rows: int, outputs: tuple[int, ...], like: Spec) -> Spec:
    """Scratch for the columns (images, C·R·S, P·Q) of a chunk."""
    count = rows * outputs[0] * outputs[1]
    return Spec((images_at_a_time(count * like.dtype.itemsize, images), rows, outputs[0] * outputs[1]), like.dtype)


def _forward_columns(x: Spec, w: Spec, b: Spec, **keywords: Any) -> Spec:
    y = conv2d.infer(x, w, b, **keywords)[0]
    return _columns(x.shape[0], x.shape[1] * w.shape[2] * w.shape[3], y.shape[2:], x)


@conv2d.kernel("cpu_numpy", workspace=_forward_columns)
def forward(
    x: Array, w: Array, b: Array, *, stride: Pair, padding: Sides, groups: int, out: Array, workspace: Array
) -> None:
    N, K, P, Q = out.shape
    xp = array_module(x)
    filters = w.reshape(groups, K // groups, -1)
    y = out.reshape(N, groups, K // groups, P * Q)
    for images in chunks(N, len(workspace)):
        columns = im2col(x[images], w.shape[2:], stride, padding, out=workspace[: images.stop - images.start])
        xp.matmul(filters, columns.reshape(len(columns), groups, -1, P * Q), out=y[images])
        out[images] += b[:, None, None]


def _data_columns(dy: Spec, w: Spec, *, x_shape: tuple[int, ...], **_: Any) -> Spec:
    return _columns(dy.shape[0], x_shape[1] * w.shape[2] * w.shape[3], dy.shape[2:], dy)


@conv2d_backward_data.kernel("cpu_numpy", workspace=_data_columns)
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
    xp = array_module(dy)
    filters = w.reshape(groups, K // groups, -1).transpose(0, 2, 1)
    dy = dy.reshape(N, groups, K // groups, P * Q)
    for images in chunks(N, len(workspace)):
        columns = workspace[: images.stop - images.start]
        xp.matmul(filters, dy[images], out=columns.reshape(len(columns), groups, -1, P * Q))
        out[images] = col2im(columns, (len(columns), *x_shape[1:]), w.shape[2:], stride, padding)


def _weights_columns(dy: Spec, x: Spec, *, w_shape: tuple[int, ...], **_: Any) -> Spec:
    return _columns(dy.shape[0], x.shape[1] * w_shape[2] * w_shape[3], dy.shape[2:], dy)


@conv2d_backward_weights.kernel("cpu_numpy", workspace=_weights_columns)
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
    xp = array_module(dy)
    dw[...] = 0
    db[...] = dy.sum(axis=(0, 2, 3))
    grouped = dw.reshape(groups, K // groups, -1)
    dy = dy.reshape(N, groups, K // groups, P * Q)
    for images in chunks(N, len(workspace)):
        columns = im2col(x[images], w_shape[2:], stride, padding, out=workspace[: images.stop - images.start])
        columns = columns.reshape(len(columns), groups, -1, P * Q)
        grouped += xp.matmul(dy[images], columns.transpose(0, 1, 3, 2)).sum(axis=0)
