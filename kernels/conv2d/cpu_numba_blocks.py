"""conv2d at a stride by blocks of pixels ("space to depth"): s × s pixels become channels, and the stride becomes 1.

Math     x[c, i·s + r, j·s + q] is channel (c·s + r)·s + q of block (i, j), and so are the filters, with zeros where a
         block is larger than what is left of a filter: conv1's 11 × 11 at stride 4 on 3 channels is a 3 × 3 on 48.
         Backward, dx and dw are brought back the same way
Shapes   square filters of one group, at a stride s > 1 that is the same both ways, of 3 × 3 to 5 × 5 blocks
Threads  each brings some images to blocks; then as in cpu_numba_winograd.py, which computes what is left
Traffic  one more pass over x; the filters' zeros, 144 / 121 for conv1
Change   against columns: each number stands in ⌈R/s⌉² windows, not in R²/s², and Winograd's tiles multiply them
"""

from math import ceil
from typing import Any

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.parallel import share

from . import cpu_numba_winograd as winograd
from .blocks import filters_from_blocks, filters_to_blocks
from .tiles import TILES

ERROR = 30.0
UNIT: dict[str, Any] = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "groups": 1}  # of what is left to convolve


def _taps(size: int, stride: int) -> int:
    """Side of the filters in blocks: one that Winograd's tiles have."""
    return min((r for _, r in TILES if r >= ceil(size / stride)), default=0)


def _shapes(
    x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], s: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of x and w in blocks."""
    taps, channels = _taps(w[2], s), x[1] * s * s
    return (x[0], channels, y[2] + taps - 1, y[3] + taps - 1), (w[0], channels, taps, taps)


def _refuses(window: tuple[int, ...], stride: Pair, groups: int) -> str | None:
    if window[0] != window[1] or stride[0] != stride[1]:
        return f"a window of {window[0]} x {window[1]} at a stride of {stride} is not square"
    if stride[0] == 1 or groups > 1:
        return f"there are no blocks at a stride of {stride[0]} with {groups} groups"
    return None if _taps(window[0], stride[0]) else f"a window of {window[0]} is more than 5 blocks of {stride[0]}"


def _refuses_w(_: Any, w: Any, *__: Any, stride: Pair, groups: int, **___: Any) -> str | None:
    return _refuses(w.shape[2:], stride, groups)


def _refuses_shape(*_: Any, w_shape: tuple[int, ...], stride: Pair, groups: int, **__: Any) -> str | None:
    return _refuses(w_shape[2:], stride, groups)


def _to_blocks(x: Array, s: int, before: Pair, made: Array) -> None:
    """made (N, C·s², rows, columns) from x (N, C, H, W), `before` pixels of padding above and to the left."""
    N, C = x.shape[:2]
    rows, columns = made.shape[2:]

    def some(lo: int, hi: int) -> None:
        for n in range(lo, hi):
            padded = np.zeros((C, rows * s, columns * s), x.dtype)
            seen = x[n, :, : rows * s - before[0], : columns * s - before[1]]
            padded[:, before[0] : before[0] + seen.shape[1], before[1] : before[1] + seen.shape[2]] = seen
            made[n] = padded.reshape(C, rows, s, columns, s).transpose(0, 2, 4, 1, 3).reshape(made.shape[1:])

    share(N, some)


def _from_blocks(blocks: Array, s: int, before: Pair, x: Array) -> None:
    """The adjoint: each pixel from its block; 0 for those that no window sees."""
    N, C, H, W = x.shape
    rows, columns = blocks.shape[2:]

    def some(lo: int, hi: int) -> None:
        for n in range(lo, hi):
            padded = (
                blocks[n].reshape(C, s, s, rows, columns).transpose(0, 3, 1, 4, 2).reshape(C, rows * s, columns * s)
            )
            seen = padded[:, before[0] : before[0] + H, before[1] : before[1] + W]
            x[n, :, : seen.shape[1], : seen.shape[2]] = seen
            x[n, :, seen.shape[1] :] = 0
            x[n, :, :, seen.shape[2] :] = 0

    share(N, some)


def _before(padding: Sides) -> Pair:
    return padding[0][0], padding[1][0]


@conv2d.kernel("cpu_numba/blocks", refuses=_refuses_w, error=ERROR)
def forward(x: Array, w: Array, b: Array, *, stride: Pair, padding: Sides, groups: int, out: Array) -> None:
    x_shape, w_shape = _shapes(x.shape, w.shape, out.shape, stride[0])
    blocks, filters = np.empty(x_shape, x.dtype), np.empty(w_shape, w.dtype)
    _to_blocks(x, stride[0], _before(padding), blocks)
    filters_to_blocks(w, stride[0], filters)
    u = winograd._u(None, *(Spec(a.shape, a.dtype) for a in (blocks, filters, b)), **UNIT)
    winograd.forward(None, blocks, filters, b, **UNIT, out=out, workspace=np.empty(u.shape, u.dtype))


@conv2d_backward_data.kernel("cpu_numba/blocks", refuses=_refuses_w, error=ERROR)
def backward_data(
    dy: Array, w: Array, *, x_shape: tuple[int, ...], stride: Pair, padding: Sides, groups: int, out: Array
) -> None:
    in_blocks, w_shape = _shapes(x_shape, w.shape, dy.shape, stride[0])
    dblocks, filters = np.empty(in_blocks, dy.dtype), np.empty(w_shape, w.dtype)
    filters_to_blocks(w, stride[0], filters)
    ut = winograd._ut(None, *(Spec(a.shape, a.dtype) for a in (dy, filters)), x_shape=in_blocks, **UNIT)
    winograd.backward_data(
        None, dy, filters, x_shape=in_blocks, **UNIT, out=dblocks, workspace=np.empty(ut.shape, ut.dtype)
    )
    _from_blocks(dblocks, stride[0], _before(padding), out)


@conv2d_backward_weights.kernel("cpu_numba/blocks", refuses=_refuses_shape, error=ERROR)
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
    x_shape, in_blocks = _shapes(x.shape, w_shape, dy.shape, stride[0])
    blocks, dfilters = np.empty(x_shape, x.dtype), np.empty(in_blocks, x.dtype)
    _to_blocks(x, stride[0], _before(padding), blocks)
    space = winograd._pieces_together(None, *(Spec(a.shape, a.dtype) for a in (dy, blocks)), w_shape=in_blocks, **UNIT)
    winograd.backward_weights(
        None, dy, blocks, w_shape=in_blocks, **UNIT, out=(dfilters, db), workspace=np.empty(space.shape, space.dtype)
    )
    filters_from_blocks(dfilters, stride[0], dw)
