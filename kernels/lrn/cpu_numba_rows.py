"""lrn in vectors along a row of pixels, with the paper's power.

Math     scale = k + a·Σ_window x²;  y = x · scale^(−3/4);
         dx = d − 2·a·β · x · Σ_window t with d = dy · scale^(−3/4) and t = d · x / scale
Shapes   all (N, C, H·W); a group is a block of channels
Threads  each has its groups of images
Traffic  each once, asked for before its turn. The rows of a window are in the caches while the channels pass; t and d
         of as many stay in a ring
Change   against loops: roots while the memory answers, not after. The last line of a row is done again where a row has
         no whole lines, with the same result. Beyond a group's channels lie rows of zeros
"""

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import lrn, lrn_backward

from ..ahead import LINE
from ..compiled import jit
from ..panel import vector_bytes, zero
from ..static import Static
from ..vector import REGISTER_BYTES, Vectors, each, integer
from .groups import block, grouped, share_groups
from .power import BETA, inverse_powers

AHEAD = 2048  # bytes along a row: what arrives in the second cache while the memory answers
SOON = 256  # bytes, which are brought on into the first
LARGEST = 16  # channels of a window: each has its loads in the code


def refuses(*inputs: Spec, size: int, beta: float, **_: Any) -> str | None:
    if beta != BETA:
        return f"its power is {BETA}, not {beta:g}"
    if size > LARGEST:
        return f"a window of {size} has more than the {LARGEST} channels that fit its code"
    x = inputs[0]
    if block(x.shape[2] * x.shape[3]) * x.dtype.itemsize < LINE:
        return f"rows of {x.shape[2] * x.shape[3]} pixels are shorter than a line of {LINE} bytes"
    return None


def _form(x: Array, size: int) -> tuple[Static, Static]:
    return Static(size), Static(x.itemsize, REGISTER_BYTES // x.itemsize)


@lrn.kernel("cpu_numba/rows", refuses=refuses)
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
    x, y, scale = grouped(groups, x, *out)
    form, zeros = _form(x, size), np.zeros(block(x.shape[2]), x.dtype)
    a = alpha / size if alpha_over_size else alpha
    share_groups(x, lambda lo, hi: _forward(*form, x[lo:hi], zeros, k, a, y[lo:hi], scale[lo:hi]))


@jit
def _forward(window, vector, x, zeros, k, a, y, scale):  # type: ignore[no-untyped-def]
    (channels, pixels), step, item = x.shape[1:], len(zeros), x.itemsize
    for n in range(len(x)):
        for start in range(0, pixels, step):
            width = min(step, pixels - start) * item
            for c in range(channels):
                at = (c * pixels + start) * item
                _normalise(
                    window, vector, x[n].ctypes.data + start * item, c, channels, pixels * item, width,
                    zeros.ctypes.data, k, a, y[n].ctypes.data + at, scale[n].ctypes.data + at,
                )  # fmt: skip


@intrinsic
def _normalise(
    _: Any, window: Any, vector: Any, x: Any, c: Any, channels: Any, row: Any, width: Any, zeros: Any,
    k: Any, a: Any, y: Any, scale: Any,
) -> Any:  # fmt: skip
    """y and scale of a channel."""
    half = window.value[0] // 2

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        _, _, x, c, channels, row, width, zeros, k, a, y, scale = arguments
        v = Vectors(builder, *vector.value)
        k, a, rows = v.everywhere(k), v.everywhere(a), []
        for d in range(-half, half + 1):
            channel = builder.add(c, integer(d))
            inside = builder.icmp_unsigned("<", channel, channels)
            rows.append(builder.select(inside, builder.add(x, builder.mul(channel, row)), zeros))

        def step(offset: Any) -> None:
            xs = [v.load(builder.add(address, offset)) for address in rows]
            squares = builder.fmul(xs[0], xs[0])
            for member in xs[1:]:
                squares = v.fma(member, member, squares)
            total = v.fma(a, squares, k)
            power, _ = inverse_powers(v, total)
            v.store(total, builder.add(scale, offset))
            v.store(builder.fmul(xs[half], power), builder.add(y, offset))

        _over_row(v, width, step, rows[-1:], [y, scale])
        return context.get_dummy_value()

    return types.void(window, vector, *[types.int64] * 6, *[types.float64] * 2, *[types.int64] * 2), generate


@lrn_backward.kernel("cpu_numba/rows", refuses=refuses)
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
    dy, x, scale, dx = grouped(groups, dy, x, scale, out)
    form, step = _form(x, size), block(x.shape[2])
    factor = -2 * beta * (alpha / size if alpha_over_size else alpha)
    share_groups(
        x,
        lambda lo, hi: _backward(
            *form, dy[lo:hi], x[lo:hi], scale[lo:hi], step, _room(size, step, x.dtype), factor, dx[lo:hi]
        ),
    )


@jit
def _backward(window, vector, dy, x, scale, step, room, factor, dx):  # type: ignore[no-untyped-def]
    channels, half, row, item = x.shape[1], window_half(window), x.shape[2] * x.itemsize, x.itemsize
    stride = room.shape[1] * item
    zeros, ones, ring = room.ctypes.data, room.ctypes.data + stride, room.ctypes.data + 2 * stride
    for n in range(len(x)):
        for start in range(0, x.shape[2], step):
            width = min(step, x.shape[2] - start) * item
            zero(vector, ring, (len(room) - 2) * stride // vector_bytes(vector))
            for c in range(channels + half):
                # Channel c enters the ring, and the window of channel c − half is whole. Before the first there is
                # none: what is written there is written again. Behind the last there are zeros.
                at, done = c * row + start * item, max(c - half, 0) * row + start * item
                sources = zeros, ones, ones
                if c < channels:
                    sources = dy[n].ctypes.data + at, x[n].ctypes.data + at, scale[n].ctypes.data + at
                _step(
                    window, vector, sources, c, width, ring, stride, factor, x[n].ctypes.data + done,
                    dx[n].ctypes.data + done,
                )  # fmt: skip


def _room(size: int, width: int, dtype: Any) -> Array:
    """Rows of zeros, of ones, t of a window, and d of half of it, each of so many elements and to the end of a LINE."""
    item = np.dtype(dtype).itemsize
    rows = np.zeros((2 + size + size // 2 + 1, ceil(width * item / LINE) * LINE // item), dtype)
    rows[1] = 1
    return rows


@intrinsic
def window_half(_: Any, window: Any) -> Any:
    return types.int64(window), lambda *_: integer(window.value[0] // 2)


@intrinsic
def _step(
    _: Any, window: Any, vector: Any, sources: Any, c: Any, width: Any, ring: Any, stride: Any,
    factor: Any, x: Any, dx: Any,
) -> Any:  # fmt: skip
    """t and d of channel c, and dx of channel c − half, whose x this is. sources: dy, x and scale of c."""
    (size,), half = window.value, window.value[0] // 2

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        _, _, sources, c, width, ring, stride, factor, x, dx = arguments
        dy, own, scale = cgutils.unpack_tuple(builder, sources)
        v = Vectors(builder, *vector.value)
        factor = v.everywhere(factor)

        def kept(first: int, rows: int, later: int) -> Any:
            """The row in the ring of channel c + later: of t those from 0 on, of d those from `size` on."""
            turn = builder.urem(builder.add(c, integer(later)), integer(rows))
            return builder.add(ring, builder.mul(builder.add(turn, integer(first)), stride))

        t, *others = [kept(0, size, j) for j in range(size)]  # `size` channels later is the same row
        d, first = kept(size, half + 1, 0), kept(size, half + 1, 1)

        def step(offset: Any) -> None:
            power, root = inverse_powers(v, v.load(builder.add(scale, offset)))
            direct = builder.fmul(v.load(builder.add(dy, offset)), power)
            total = builder.fmul(builder.fmul(direct, v.load(builder.add(own, offset))), builder.fmul(root, root))
            v.store(direct, builder.add(d, offset))
            v.store(total, builder.add(t, offset))
            for other in others:
                total = builder.fadd(total, v.load(builder.add(other, offset)))
            result = direct if half == 0 else v.load(builder.add(first, offset))
            result = v.fma(builder.fmul(factor, v.load(builder.add(x, offset))), total, result)
            v.store(result, builder.add(dx, offset))

        _over_row(v, width, step, [dy, own, scale], [dx])
        return context.get_dummy_value()

    kinds = types.UniTuple(types.int64, 3), *[types.int64] * 4, types.float64, *[types.int64] * 2
    return types.void(window, vector, *kinds), generate


def _over_row(v: Vectors, width: Any, step: Callable[[Any], None], read: list[Any], written: list[Any]) -> None:
    """step(offset) for each vector of a row. read, written: the rows that memory holds."""
    line = range(0, LINE, v.bytes)
    with each(v.builder, integer(0), v.builder.sub(width, integer(LINE - 1)), LINE) as offset:
        for row in read + written:
            v.prefetch(v.at(v.builder.add(row, offset), AHEAD))
        for row in read:
            v.prefetch(v.at(v.builder.add(row, offset), SOON), nearness=3)
        for place in line:
            step(v.at(offset, place))
    for place in line:
        step(v.at(width, place - LINE))
