"""conv2d by Winograd's tiles, for filters of 3 × 3 and 5 × 5 at stride 1.

Math     as channels_last.py says; the tile F(m, r) is the one with the fewest products for this map: tiles.best
Shapes   x, dy and their gradients are brought to channels last, a few images at a time, and back
Threads  each has its images; the weights' gradient is split by element of the tile, so that no sum is divided between
         threads, and the result does not depend on how many there are
Traffic  one more pass over x and y than channels last needs
Change   against columns: n²/(m²r²) of the multiplications, for a rounding error some ten times as large
"""

from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.parallel import share

from ..chunks import small_in_tests
from ..layouts import Images
from ..static import Static
from ..vector import lanes
from . import channels_last as core
from . import winograd_weights
from .tiles import TILES, best

BLOCK_BYTES = 8 << 20  # V and M of a thread's images at a time: what its share of the last cache holds
CHUNK_BYTES = 64 << 20  # the same for the weights' gradient, which all threads work on together
LAST_BYTES = 512 << 10  # of x and dy with channels last at a time: what the second cache holds
ERROR = 100  # times that of the definition: measured for F(4, 5) and F(5, 3), which are the worst
small_in_tests(__name__, BLOCK_BYTES=1, CHUNK_BYTES=1, LAST_BYTES=1)


class _Form(NamedTuple):
    """What the cores are told of a convolution."""

    tile: Static
    vector: Static
    shape: tuple[int, ...]
    lanes: int
    point: int  # bytes of one of the n² matrices of U
    image: int  # bytes of V and M for an image

    @property
    def elements(self) -> int:
        return int(self.shape[10] ** 2)

    @property
    def tiles(self) -> int:
        return self.shape[11] * self.shape[12]


def form(
    x: tuple[int, ...],
    w: tuple[int, ...],
    y: tuple[int, ...],
    padding: Sides,
    groups: int,
    dtype: Any,
    side: int | None = None,
) -> _Form:
    """side: of a tile's outputs; that which needs the fewest products unless given."""
    (_, C, H, W), (K, _, r, _), (P, Q), dtype = x, w, y[2:], np.dtype(dtype)
    tile = (side, r) if side else best(r, (P, Q))
    assert tile is not None
    m, n = tile[0], tile[0] + r - 1
    down, across = -(-P // m), -(-Q // m)
    width = lanes(dtype, C // groups, K // groups)
    shape = (H, W, C, P, Q, K, groups, padding[0][0], padding[1][0], m, n, down, across)
    return _Form(
        Static(m, r, dtype.itemsize, width, False),
        Static(dtype.itemsize, width),
        shape,
        width,
        C // groups * K * dtype.itemsize + core.GAP,
        n * n * down * across * (C + K) * dtype.itemsize,
    )


def refuses(window: tuple[int, ...], stride: Pair, only: int | None = None) -> str | None:
    """Why a window at a stride is not taken; `only` windows of this side are, where it is given."""
    sizes = [only] if only else sorted({r for _, r in TILES})
    if window[0] != window[1] or window[0] not in sizes:
        return f"a window of {window[0]} x {window[1]} is not square with side {' or '.join(map(str, sizes))}"
    return None if stride == (1, 1) else f"a stride of {stride} is not 1"


def tiles(r: int, outputs: Pair) -> int:
    """How many tiles cover a map of `outputs`."""
    tile = best(r, outputs)
    assert tile is not None
    return -(-outputs[0] // tile[0]) * -(-outputs[1] // tile[0])


def _room(form: _Form, images: int) -> int:
    """Bytes of V and M of so many images."""
    return images * form.image + 2 * form.elements * core.GAP


def _pixels(form: _Form) -> int:
    """Numbers in a pixel of zeros, and one behind it that may be written to."""
    return 2 * max(form.shape[2], form.shape[5])


def _images_at_a_time(form: _Form, images: int, budget: int) -> int:
    return max(1, min(images, budget // form.image))


def _u(side: int | None, x: Spec, w: Spec, b: Spec, **keywords: Any) -> Spec:
    return _bytes_of_u(side, x.shape, w, conv2d.infer(x, w, b, **keywords)[0].shape, keywords)


def _ut(side: int | None, dy: Spec, w: Spec, *, x_shape: tuple[int, ...], **keywords: Any) -> Spec:
    return _bytes_of_u(side, x_shape, w, dy.shape, keywords)


def _bytes_of_u(side: int | None, x: tuple[int, ...], w: Spec, y: tuple[int, ...], keywords: dict[str, Any]) -> Spec:
    f = form(x, w.shape, y, keywords["padding"], keywords["groups"], w.dtype, side)
    return Spec((f.elements * f.point,), np.dtype(np.uint8))


def forward(
    side: int | None,
    images: Images | None,
    x: Array,
    w: Array,
    b: Array,
    *,
    stride: Pair,
    padding: Sides,
    groups: int,
    out: Array,
    workspace: Array,
) -> None:
    images, outputs = images or Images(x.shape), Images(out.shape)
    (N, C, H, W), (_, K, P, Q) = images.shape, out.shape
    f = form(images.shape, w.shape, out.shape, padding, groups, x.dtype, side)
    u = workspace.ctypes.data

    def filters(lo: int, hi: int) -> None:
        taps = np.empty((w.shape[2] ** 2, f.lanes), x.dtype)
        winograd_weights.to_u(f.tile, f.vector, w.shape[2], w, u, taps, f.point, groups, lo, hi)

    def some(lo: int, hi: int) -> None:
        step = _images_at_a_time(f, hi - lo, BLOCK_BYTES)
        scratch, spare = np.empty(_room(f, step), np.uint8), np.zeros(_pixels(f), x.dtype)
        xs, ys = np.empty((step, H * W, C), x.dtype), np.empty((step, P * Q, K), x.dtype)
        for i in range(lo, hi, step):
            n = min(step, hi - i)
            images.read(x[i : i + n], xs)
            core.forward(
                f.tile, f.vector, f.shape, xs.ctypes.data, u, b.ctypes.data, ys.ctypes.data, scratch.ctypes.data,
                spare.ctypes.data, 0, n * f.tiles, n * f.tiles,
            )  # fmt: skip
            outputs.write(ys[:n], out[i : i + n])

    share(C, filters)
    share(N, some)


def backward_data(
    side: int | None,
    images: Images | None,
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
    images, outputs = images or Images(x_shape), Images(dy.shape)
    (N, C, H, W), (_, K, P, Q) = images.shape, dy.shape
    f = form(images.shape, w.shape, dy.shape, padding, groups, dy.dtype, side)
    ut = workspace.ctypes.data

    def filters(lo: int, hi: int) -> None:
        taps = np.empty((w.shape[2] ** 2, f.lanes), dy.dtype)
        winograd_weights.to_ut(f.tile, f.vector, w.shape[2], w, ut, taps, f.point, groups, lo, hi)

    def some(lo: int, hi: int) -> None:
        step = _images_at_a_time(f, hi - lo, BLOCK_BYTES)
        scratch, spare = np.empty(_room(f, step), np.uint8), np.zeros(_pixels(f), dy.dtype)
        dys, dxs = np.empty((step, P * Q, K), dy.dtype), np.empty((step, H * W, C), dy.dtype)
        for i in range(lo, hi, step):
            n = min(step, hi - i)
            outputs.read(dy[i : i + n], dys)
            core.backward_data(
                f.tile, f.vector, f.shape, dys.ctypes.data, 0, ut, dxs.ctypes.data, scratch.ctypes.data,
                spare.ctypes.data, 0, n, n,
            )  # fmt: skip
            images.write(dxs[:n], out[i : i + n])

    share(K, filters)
    share(N, some)


def _pieces(f: _Form, images: int, itemsize: int) -> tuple[int, dict[str, int]]:
    """Images of a chunk, and the bytes of what they are worked on in, whose names are the formula's."""
    step, row = _images_at_a_time(f, images, CHUNK_BYTES), f.shape[2] * itemsize
    wider = step * f.tiles * f.elements * (core.apart(row) - row)
    return step, {"V, dM": _room(f, step) + wider, "dU": f.elements * f.point, "spare": _pixels(f) * itemsize}


def _pieces_together(side: int | None, dy: Spec, x: Spec, *, w_shape: tuple[int, ...], **keywords: Any) -> Spec:
    f = form(x.shape, w_shape, dy.shape, keywords["padding"], keywords["groups"], dy.dtype, side)
    sizes = _pieces(f, x.shape[0], dy.dtype.itemsize)[1].values()
    return Spec((sum(map(_whole_lines, sizes)),), np.dtype(np.uint8))


def _whole_lines(size: int) -> int:
    return -(-size // 64) * 64


def backward_weights(
    side: int | None,
    images: Images | None,
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
    images, outputs = images or Images(x.shape), Images(dy.shape)
    (N, C, H, W), (_, K, P, Q) = images.shape, dy.shape
    f = form(images.shape, w_shape, dy.shape, padding, groups, dy.dtype, side)
    step, sizes = _pieces(f, N, dy.itemsize)
    ends = list(accumulate(map(_whole_lines, sizes.values())))
    at = {
        name: workspace[end - _whole_lines(size) :][:size]
        for (name, size), end in zip(sizes.items(), ends, strict=True)
    }
    together, v_row = max(1, LAST_BYTES // (x[0].nbytes + dy[0].nbytes)), core.apart(C * dy.itemsize)
    v, du, spare = (at[name].ctypes.data for name in ("V, dM", "dU", "spare"))
    at["spare"][:] = 0
    one = np.ones(1, dy.dtype)
    for i in range(0, N, step):
        number = min(step, N - i)
        v_point, m_point = (number * f.tiles * row + core.GAP for row in (v_row, K * dy.itemsize))
        dm = v + f.elements * v_point

        def transform(
            lo: int, hi: int, i: int = i, v_point: int = v_point, m_point: int = m_point, dm: int = dm
        ) -> None:
            xs, dys = np.empty((together, H * W, C), x.dtype), np.empty((together, P * Q, K), dy.dtype)
            for first in range(lo, hi, together):
                n = min(together, hi - first)
                images.read(x[i + first : i + first + n], xs)
                outputs.read(dy[i + first : i + first + n], dys)
                to_v, to_m = v + first * f.tiles * v_row, dm + first * f.tiles * K * dy.itemsize
                core.input_tiles(f.tile, f.vector, f.shape, xs.ctypes.data, to_v, v_point, v_row, spare, 0, n * f.tiles)
                core.gradient_tiles(f.tile, f.vector, f.shape, dys.ctypes.data, 0, to_m, m_point, spare, 0, n * f.tiles)

        def multiply(
            lo: int, hi: int, i: int = i, v_point: int = v_point, m_point: int = m_point, dm: int = dm
        ) -> None:
            tiles = min(step, N - i) * f.tiles
            core.to_du(f.vector, f.shape, dm, m_point, v, v_point, v_row, du, tiles, lo, hi, i > 0)

        share(number, transform)
        share(f.elements, multiply)
        core.to_db(f.vector, f.shape, dm, m_point, one.ctypes.data, db.ctypes.data, number * f.tiles, i > 0)

    def filters(lo: int, hi: int) -> None:
        taps = np.empty((w_shape[2] ** 2, f.lanes), dy.dtype)
        winograd_weights.to_dw(f.tile, f.vector, w_shape[2], du, dw, taps, f.point, groups, lo, hi, False)

    share(C, filters)


def rung(key: str, side: int | None, error: float, only: int | None = None) -> None:
    """Register all three directions with tiles of this side, for filters of one side only where it is given."""

    def refuses_w(_: Any, w: Any, *__: Any, stride: Pair, **___: Any) -> str | None:
        return refuses(w.shape[2:], stride, only)

    def refuses_shape(*_: Any, w_shape: tuple[int, ...], stride: Pair, **__: Any) -> str | None:
        return refuses(w_shape[2:], stride, only)

    for op, body, workspace, why in (
        (conv2d, forward, _u, refuses_w),
        (conv2d_backward_data, backward_data, _ut, refuses_w),
        (conv2d_backward_weights, backward_weights, _pieces_together, refuses_shape),
    ):
        made: Any = partial(body, side, None)
        made.__module__, made.__name__ = body.__module__, body.__name__  # as a plain function would have them
        op.kernel(key, workspace=partial(workspace, side), refuses=why, error=error)(made)


rung("cpu_numba/winograd", None, ERROR)
