"""conv2d at a stride by blocks of pixels ("space to depth"): s × s pixels become channels, and the stride becomes 1.

Math     x[c, i·s + r, j·s + q] is channel (c·s + r)·s + q of block (i, j), and so are the filters, with zeros where a
         block is larger than what is left of a filter: conv1's 11 × 11 at stride 4 on 3 channels is a 3 × 3 on 48.
         Backward, dx and dw are brought back the same way
Shapes   square filters of one group, at a stride s > 1 that is the same both ways, of 3 × 3 to 5 × 5 blocks
Threads  as in cpu_numba_winograd.py, which computes what is left
Traffic  as there, and the filters' zeros, 144 / 121 for conv1: an image goes to blocks and to channels last at once
Change   against columns: each number stands in ⌈R/s⌉² windows, not in R²/s², and Winograd's tiles multiply them
"""

from math import ceil
from typing import Any

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.windows import Pair, Sides

from . import cpu_numba_winograd as winograd
from .blocks import Blocks, filters_from_blocks, filters_to_blocks
from .tiles import TILES

TILE = 4  # of 4 × 4 outputs. 5 × 5 needs a sixth fewer products for 55 × 55, is as fast, and rounds four times as much
ERROR = 30.0
UNIT: dict[str, Any] = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "groups": 1}  # of what is left to convolve


def taps(size: int, stride: int) -> int:
    """Side of the filters in blocks: one that Winograd's tiles have."""
    return min((r for m, r in TILES if m == TILE and r >= ceil(size / stride)), default=0)


def _shapes(
    x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], s: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of x and w in blocks."""
    side, channels = taps(w[2], s), x[1] * s * s
    return (x[0], channels, y[2] + side - 1, y[3] + side - 1), (w[0], channels, side, side)


def refuses(window: tuple[int, ...], stride: Pair, groups: int) -> str | None:
    if window[0] != window[1] or stride[0] != stride[1]:
        return f"a window of {window[0]} x {window[1]} at a stride of {stride} is not square"
    if stride[0] == 1 or groups > 1:
        return f"there are no blocks at a stride of {stride[0]} with {groups} groups"
    return None if taps(window[0], stride[0]) else f"a window of {window[0]} is more than 5 blocks of {stride[0]}"


def _refuses_w(_: Any, w: Any, *__: Any, stride: Pair, groups: int, **___: Any) -> str | None:
    return refuses(w.shape[2:], stride, groups)


def _refuses_shape(*_: Any, w_shape: tuple[int, ...], stride: Pair, groups: int, **__: Any) -> str | None:
    return refuses(w_shape[2:], stride, groups)


def _u(x: Spec, w: Spec, b: Spec, *, stride: Pair, padding: Sides, groups: int) -> Spec:
    y = conv2d.infer(x, w, b, stride=stride, padding=padding, groups=groups)[0]
    x_shape, w_shape = _shapes(x.shape, w.shape, y.shape, stride[0])
    return winograd._u(TILE, Spec(x_shape, x.dtype), Spec(w_shape, w.dtype), b, **UNIT)


def _ut(dy: Spec, w: Spec, *, x_shape: tuple[int, ...], stride: Pair, **_: Any) -> Spec:
    in_blocks, w_shape = _shapes(x_shape, w.shape, dy.shape, stride[0])
    return winograd._ut(TILE, dy, Spec(w_shape, w.dtype), x_shape=in_blocks, **UNIT)


def _pieces(dy: Spec, x: Spec, *, w_shape: tuple[int, ...], stride: Pair, **_: Any) -> Spec:
    x_shape, in_blocks = _shapes(x.shape, w_shape, dy.shape, stride[0])
    return winograd._pieces_together(TILE, dy, Spec(x_shape, x.dtype), w_shape=in_blocks, **UNIT)


@conv2d.kernel("cpu_numba/blocks", workspace=_u, refuses=_refuses_w, error=ERROR)
def forward(
    x: Array, w: Array, b: Array, *, stride: Pair, padding: Sides, groups: int, out: Array, workspace: Array
) -> None:
    x_shape, w_shape = _shapes(x.shape, w.shape, out.shape, stride[0])
    filters = np.empty(w_shape, w.dtype)
    filters_to_blocks(w, stride[0], filters)
    images = Blocks(x_shape, stride[0], padding)
    winograd.forward(TILE, images, x, filters, b, **UNIT, out=out, workspace=workspace)


@conv2d_backward_data.kernel("cpu_numba/blocks", workspace=_ut, refuses=_refuses_w, error=ERROR)
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
    in_blocks, w_shape = _shapes(x_shape, w.shape, dy.shape, stride[0])
    filters = np.empty(w_shape, w.dtype)
    filters_to_blocks(w, stride[0], filters)
    images = Blocks(in_blocks, stride[0], padding)
    winograd.backward_data(TILE, images, dy, filters, x_shape=in_blocks, **UNIT, out=out, workspace=workspace)


@conv2d_backward_weights.kernel("cpu_numba/blocks", workspace=_pieces, refuses=_refuses_shape, error=ERROR)
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
    x_shape, in_blocks = _shapes(x.shape, w_shape, dy.shape, stride[0])
    dfilters = np.empty(in_blocks, x.dtype)
    images = Blocks(x_shape, stride[0], padding)
    winograd.backward_weights(TILE, images, dy, x, w_shape=in_blocks, **UNIT, out=(dfilters, db), workspace=workspace)
    filters_from_blocks(dfilters, stride[0], dw)
