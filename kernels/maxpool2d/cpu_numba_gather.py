"""The backward of max-pooling in vectors along a row of dx: it gathers, down a strip of columns.

Math     dx[h, w] = Σ over the windows (p, q) that hold it, in order, of dy[p, q] where index[p, q] is h·W + w
Shapes   dx (N·C, H, W), dy and index (N·C, P, Q); lane i holds the pixels of columns across·(m + i) + c, c < across,
         so that its window of tap s = c + across·t is m + i - t
Threads  each has a contiguous part of the planes
Traffic  the least from memory; a plane's dy and index stay in the first-level cache
Change   against planes: dx is written once, not cleared first, and no sum waits for another to come back from memory

An index that no forward makes, outside its window, is found by counting, and its plane is made as `planes` makes it.
"""

from math import ceil
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import maxpool2d_backward
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.parallel import share

from ..compiled import LEAST, jit
from ..masked import WORD, chosen, count_up, load_where, spread, store_where, total, within, word
from ..static import Static, StaticType
from ..vector import INT, Vectors, integer
from .cpu_numba_planes import scatter
from .cpu_numba_rows import LARGEST, lanes_for, lanes_of


def refuses(dy: Spec, index: Spec, *, size: Pair, stride: Pair, **_: Any) -> str | None:
    if stride[1] > 2:
        return f"at stride {stride} more than two columns would be interleaved"
    if size[1] > LARGEST:
        return f"a window of {size} has more than the {LARGEST} columns that fit its code"
    return None


@maxpool2d_backward.kernel("cpu_numba/rows", refuses=refuses)
def backward(
    dy: Array, index: Array, *, x_shape: tuple[int, ...], size: Pair, stride: Pair, padding: Sides, out: Array
) -> None:
    (N, C, H, W), (P, Q) = x_shape, dy.shape[2:]
    dx, dy, index = out.reshape(N * C, H, W), *(array.reshape(N * C, P, Q) for array in (dy, index))
    before = padding[0][0], padding[1][0]
    window = Static(*size, *stride)
    vector = Static(dy.dtype.itemsize, lanes_for(dy.dtype, ceil((W + before[1]) / stride[1])))
    share(
        N * C,
        lambda lo, hi: _backward(window, vector, before, dy[lo:hi], index[lo:hi], dx[lo:hi], stride[1]),
        least=ceil(LEAST / (H * W)),
    )


@jit
def _backward(window, vector, before, dy, index, dx, across):  # type: ignore[no-untyped-def]
    (planes, H, W), (_, P, Q), item = dx.shape, dy.shape, dx.itemsize
    for n in range(planes):
        found = 0
        for m in range(0, (W + before[1] + across - 1) // across, lanes_of(vector)):
            found += _strip(window, vector, (H, W, P, Q, before[0], before[1], m), dy.ctypes.data + n * P * Q * item,
                             index.ctypes.data + n * P * Q * 4, dx.ctypes.data + n * H * W * item)  # fmt: skip
        if found != P * Q:
            scatter(dy[n].reshape(-1), index[n].reshape(-1), dx[n].reshape(-1))


@intrinsic
def _strip(_: Any, window: Any, vector: Any, shape: Any, dy: Any, index: Any, dx: Any) -> Any:
    """A strip of columns of a plane of dx, in all rows; how many of the windows' indices were met."""
    if not isinstance(window, StaticType) or not isinstance(vector, StaticType):
        return None
    R, S, down, across = window.value

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        _, _, shape, dy, index, dx = arguments
        v = Vectors(builder, *vector.value)
        H, W, P, Q, top, left, m = (builder.extract_value(shape, i) for i in range(7))
        columns = ir.VectorType(WORD, v.lanes)
        one, nobody, never = (ir.Constant(columns, [n] * v.lanes) for n in (1, -1, -2))
        start = builder.sub(builder.mul(m, integer(across)), left)

        def everywhere(number: Any) -> Any:
            return spread(builder, word(builder, number), v.lanes)

        pixels = [builder.add(everywhere(start), count_up(columns, c, across)) for c in range(across)]
        exist = [within(builder, pixel, W) for pixel in pixels]
        shifts = range(-(-S // across))[::-1]  # the largest is the first window
        windows = [builder.sub(m, integer(t)) for t in shifts]
        real = [within(builder, builder.add(everywhere(q), count_up(columns)), Q) for q in windows]
        met = cgutils.alloca_once_value(builder, ir.Constant(columns, [0] * v.lanes))
        sums = [cgutils.alloca_once(builder, v.type) for _ in range(across)]
        with cgutils.for_range(builder, H) as rows:
            h = builder.add(rows.index, top)
            first = builder.sdiv(builder.add(h, integer(down - R)), integer(down))
            first = builder.select(builder.icmp_signed("<", first, integer(0)), integer(0), first)
            end = builder.add(builder.sdiv(h, integer(down)), integer(1))
            end = builder.select(builder.icmp_signed("<", end, P), end, P)
            row = builder.mul(rows.index, W)
            places = [
                builder.select(there, builder.add(pixel, everywhere(row)), never)
                for there, pixel in zip(exist, pixels, strict=True)
            ]
            for sum_ in sums:
                builder.store(v.constant(0), sum_)
            with cgutils.for_range_slice(builder, first, end, integer(1), INT) as (p, _):
                for t, q, mask in zip(shifts, windows, real, strict=True):
                    place = builder.add(builder.mul(p, Q), q)
                    gradient = load_where(builder, mask, _at(builder, dy, place, v.itemsize), v.constant(0))
                    winner = load_where(builder, mask, _at(builder, index, place, 4), nobody)
                    for c in range(min(across, S - across * t)):
                        mine = builder.icmp_signed("==", winner, places[c])
                        part = builder.select(mine, gradient, v.constant(0))
                        builder.store(builder.fadd(builder.load(sums[c]), part), sums[c])
                        count = builder.load(met)
                        builder.store(builder.select(mine, builder.add(count, one), count), met)
            a, b = builder.load(sums[0]), builder.load(sums[-1])
            for i in range(across):  # vectors of consecutive columns
                part = chosen(
                    builder, a, b, [(j % across) * v.lanes + j // across for j in range(i * v.lanes, (i + 1) * v.lanes)]
                )
                first_column = builder.add(start, integer(i * v.lanes))
                inside = within(builder, builder.add(everywhere(first_column), count_up(columns)), W)
                store_where(builder, inside, part, _at(builder, dx, builder.add(row, first_column), v.itemsize))
        return builder.sext(total(builder, builder.load(met)), INT)

    return types.int64(window, vector, shape, *[types.int64] * 3), generate


def _at(builder: Any, start: Any, place: Any, item: int) -> Any:
    """The address of element `place`."""
    return builder.add(start, builder.mul(place, integer(item)))
