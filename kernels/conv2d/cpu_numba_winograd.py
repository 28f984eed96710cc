"""conv2d by Winograd's tiles, for filters of 3 × 3 and 5 × 5 at stride 1.

Math     as channels_last.py says; the tile F(m, r) is the one with the fewest products for this map: tiles.best
Shapes   x, dy and their gradients are brought to channels last, a few images at a time, and back
Threads  each has its images; the weights' gradient is split by element of the tile, so that no sum is divided between
         threads, and the result does not depend on how many there are
Traffic  one more pass over x and y than channels last needs
Change   against columns: n²/(m²r²) of the multiplications, for a rounding error some ten times as large
"""

from typing import Any, NamedTuple

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.parallel import share

from ..layouts import to_channels_first, to_channels_last
from ..static import Static
from ..vector import lanes
from . import channels_last as core
from . import winograd_weights
from .tiles import TILES, best

BLOCK_BYTES = 8 << 20  # V and M of a thread's images at a time: what its share of the last cache holds
CHUNK_BYTES = 64 << 20  # the same for the weights' gradient, which all threads work on together
ERROR = 100  # times that of the definition: measured for F(4, 5) and F(5, 3), which are the worst


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


def form(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], padding: Sides, groups: int, dtype: Any) -> _Form:
    (_, C, H, W), (K, _, r, _), (P, Q), dtype = x, w, y[2:], np.dtype(dtype)
    tile = best(r, (P, Q))
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
        C // groups * K * dtype.itemsize,
        n * n * down * across * (C + K) * dtype.itemsize,
    )


def refuses(window: tuple[int, ...], stride: Pair) -> str | None:
    sizes = sorted({r for _, r in TILES})
    if window[0] != window[1] or window[0] not in sizes:
        return f"a window of {window[0]} x {window[1]} is not square with side {' or '.join(map(str, sizes))}"
    return None if stride == (1, 1) else f"a stride of {stride} is not 1"


def _refuses_w(_: Any, w: Any, *__: Any, stride: Pair, **___: Any) -> str | None:
    return refuses(w.shape[2:], stride)


def _refuses_shape(*_: Any, w_shape: tuple[int, ...], stride: Pair, **__: Any) -> str | None:
    return refuses(w_shape[2:], stride)


def tiles(r: int, outputs: Pair) -> int:
    """How many tiles cover a map of `outputs`."""
    tile = best(r, outputs)
    assert tile is not None
    return -(-outputs[0] // tile[0]) * -(-outputs[1] // tile[0])


class _Room:
    """What a thread works in: V and M of `images` images, and a pixel of zeros with one to be written behind it."""

    def __init__(self, form: _Form, images: int, dtype: Any) -> None:
        self.size = images * form.image + 2 * form.elements * core.GAP
        self.arrays = np.empty(self.size, np.uint8), np.zeros(2 * max(form.shape[2], form.shape[5]), dtype)
        self.scratch, self.spare = (a.ctypes.data for a in self.arrays)


def _images_at_a_time(form: _Form, images: int, budget: int) -> int:
    return max(1, min(images, budget // form.image))


@conv2d.kernel("cpu_numba/winograd", refuses=_refuses_w, error=ERROR)
def forward(x: Array, w: Array, b: Array, *, stride: Pair, padding: Sides, groups: int, out: Array) -> None:
    N, C, H, W = x.shape
    _, K, P, Q = out.shape
    f = form(x.shape, w.shape, out.shape, padding, groups, x.dtype)
    u = np.empty(f.elements * f.point, np.uint8)

    def filters(lo: int, hi: int) -> None:
        taps = np.empty((w.shape[2] ** 2, f.lanes), x.dtype)
        winograd_weights.to_u(f.tile, f.vector, w.shape[2], w, u.ctypes.data, taps, f.point, groups, lo, hi)

    def images(lo: int, hi: int) -> None:
        step = _images_at_a_time(f, hi - lo, BLOCK_BYTES)
        room = _Room(f, step, x.dtype)
        xs, ys = np.empty((step, H * W, C), x.dtype), np.empty((step, P * Q, K), x.dtype)
        for i in range(lo, hi, step):
            n = min(step, hi - i)
            to_channels_last(x[i : i + n].reshape(n, C, H * W), xs)
            core.forward(
                f.tile, f.vector, f.shape, xs.ctypes.data, u.ctypes.data, b.ctypes.data, ys.ctypes.data, room.scratch,
                room.spare, 0, n * f.tiles, n * f.tiles,
            )  # fmt: skip
            to_channels_first(ys[:n], out[i : i + n].reshape(n, K, P * Q))

    share(C, filters)
    share(N, images)


@conv2d_backward_data.kernel("cpu_numba/winograd", refuses=_refuses_w, error=ERROR)
def backward_data(
    dy: Array, w: Array, *, x_shape: tuple[int, ...], stride: Pair, padding: Sides, groups: int, out: Array
) -> None:
    N, C, H, W = x_shape
    _, K, P, Q = dy.shape
    f = form(x_shape, w.shape, dy.shape, padding, groups, dy.dtype)
    ut = np.empty(f.elements * f.point, np.uint8)

    def filters(lo: int, hi: int) -> None:
        taps = np.empty((w.shape[2] ** 2, f.lanes), dy.dtype)
        winograd_weights.to_ut(f.tile, f.vector, w.shape[2], w, ut.ctypes.data, taps, f.point, groups, lo, hi)

    def images(lo: int, hi: int) -> None:
        step = _images_at_a_time(f, hi - lo, BLOCK_BYTES)
        room = _Room(f, step, dy.dtype)
        dys, dxs = np.empty((step, P * Q, K), dy.dtype), np.empty((step, H * W, C), dy.dtype)
        for i in range(lo, hi, step):
            n = min(step, hi - i)
            to_channels_last(dy[i : i + n].reshape(n, K, P * Q), dys)
            core.backward_data(
                f.tile, f.vector, f.shape, dys.ctypes.data, 0, ut.ctypes.data, dxs.ctypes.data, room.scratch,
                room.spare, 0, n, n,
            )  # fmt: skip
            to_channels_first(dxs[:n], out[i : i + n].reshape(n, C, H * W))

    share(K, filters)
    share(N, images)


@conv2d_backward_weights.kernel("cpu_numba/winograd", refuses=_refuses_shape, error=ERROR)
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
    N, C, H, W = x.shape
    _, K, P, Q = dy.shape
    f = form(x.shape, w_shape, dy.shape, padding, groups, dy.dtype)
    step = _images_at_a_time(f, N, CHUNK_BYTES)
    room, one = _Room(f, step, dy.dtype), np.ones(1, dy.dtype)
    xs, dys = np.empty((step, H * W, C), dy.dtype), np.empty((step, P * Q, K), dy.dtype)
    du = np.empty(f.elements * f.point, np.uint8)
    for i in range(0, N, step):
        tiles = min(step, N - i) * f.tiles
        v_point, m_point = tiles * C * dy.itemsize + core.GAP, tiles * K * dy.itemsize + core.GAP
        products = room.scratch + f.elements * v_point

        def images(lo: int, hi: int, i: int = i, v_point: int = v_point, m_point: int = m_point) -> None:
            to_channels_last(x[i + lo : i + hi].reshape(hi - lo, C, H * W), xs[lo:hi])
            to_channels_last(dy[i + lo : i + hi].reshape(hi - lo, K, P * Q), dys[lo:hi])
            first, count = lo * f.tiles, (hi - lo) * f.tiles
            v, m = room.scratch + first * C * dy.itemsize, room.scratch + f.elements * v_point + first * K * dy.itemsize
            core.input_tiles(f.tile, f.vector, f.shape, xs.ctypes.data, v, v_point, room.spare, first, count)
            core.gradient_tiles(f.tile, f.vector, f.shape, dys.ctypes.data, 0, m, m_point, room.spare, first, count)

        def elements(
            lo: int, hi: int, i: int = i, tiles: int = tiles, m: int = products, v: int = v_point, p: int = m_point
        ) -> None:
            core.to_du(f.vector, f.shape, m, p, room.scratch, v, du.ctypes.data, tiles, lo, hi, i > 0)

        share(min(step, N - i), images)
        share(f.elements, elements)
        core.to_db(f.vector, f.shape, products, m_point, one.ctypes.data, db.ctypes.data, tiles, i > 0)

    def filters(lo: int, hi: int) -> None:
        taps = np.empty((w_shape[2] ** 2, f.lanes), dy.dtype)
        winograd_weights.to_dw(f.tile, f.vector, w_shape[2], du.ctypes.data, dw, taps, f.point, groups, lo, hi, False)

    share(C, filters)
