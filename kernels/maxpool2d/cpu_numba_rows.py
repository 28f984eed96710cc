"""maxpool2d in vectors along a row of the output, down a strip of columns.

Math     the largest of a row of the window first, then of those: both take the first of equal elements, hence so does
         the whole, in row-major order; a NaN beats every number, and stays.
Shapes   x (N·C, H, W), y and index (N·C, P, Q); a lane is a window
Threads  each has a contiguous part of the planes
Traffic  the least from memory: a plane stays in the first-level cache while its strips are read, and each window asks
         for as much of the next plane as it stands for
Change   against planes: no copy of the plane, and rows that windows share are reduced once

The last strip of a plane ends where its rows end, so it repeats some columns of the one before: vectors of which only
some lanes are in use would take longer, where the machine has no such stores. Rows of fewer windows than a vector has
lanes fill it with what lies behind them, and what that gives is overwritten by the next row, or by the next plane. The
last plane of a part has none behind it, so its vectors are of as many lanes as fit.

With padding, or a stride above 2, lanes are gathered, at rows and columns clipped to the plane: an element seen twice
changes neither the maximum nor who was first.
"""

from functools import cache
from math import ceil
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import maxpool2d
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.parallel import share

from ..ahead import AHEAD, LINE
from ..chunks import small_in_tests
from ..compiled import LEAST_MOVED, jit
from ..lanes import WORD, chosen, count_up, gather, spread, word
from ..static import Static, StaticType
from ..vector import INT, REGISTER_BYTES, Vectors, integer

LARGEST = 64  # elements of a window
small_in_tests(__name__, LEAST_MOVED=1)


def refuses(x: Spec, *, size: Pair, **_: Any) -> str | None:
    if size[0] * size[1] > LARGEST:
        return f"a window of {size} has more than the {LARGEST} elements that fit its code"
    return None


@cache
def _form(size: Pair, stride: Pair, gathers: bool, itemsize: int, columns: int) -> tuple[Static, Static, Static]:
    """What the core is told: the window, a vector that may go beyond a plane, and the widest that does not.

    The first has fewer lanes than two rows have windows, so it reads and writes no further than in the next plane.
    """
    most = REGISTER_BYTES // itemsize
    lanes, wide = min(most, 1 << (columns.bit_length() - 1)), min(most, 1 << (columns - 1).bit_length())
    return Static(*size, *stride, gathers), Static(itemsize, wide), Static(itemsize, lanes)


@maxpool2d.kernel("cpu_numba/rows", refuses=refuses)
def forward(x: Array, *, size: Pair, stride: Pair, padding: Sides, out: tuple[Array, Array]) -> None:
    (N, C, H, W), (P, Q) = x.shape, out[0].shape[2:]
    x, y, index = x.reshape(N * C, H, W), *(array.reshape(N * C, P, Q) for array in out)
    gathers = stride[1] > 2 or padding != ((0, 0), (0, 0))
    form, before = _form(size, stride, gathers, x.itemsize, Q), (padding[0][0], padding[1][0])
    share(
        N * C,
        lambda lo, hi: _forward(*form, before, x[lo:hi], y[lo:hi], index[lo:hi]),
        least=ceil(LEAST_MOVED / (H * W)),
    )


@jit
def _forward(window, wide, vector, before, x, y, index):  # type: ignore[no-untyped-def]
    planes = len(x) - 1
    for n in range(planes):
        _plane(window, wide, before, n, x, y, index)
    _plane(window, vector, before, planes, x, y, index)


@jit
def _plane(window, vector, before, n, x, y, index):  # type: ignore[no-untyped-def]
    (_, H, W), (_, P, Q), item, lanes = x.shape, y.shape, x.itemsize, lanes_of(vector)
    further = max(AHEAD, H * W * item)
    for strip in range(0, Q, lanes):
        q = max(0, min(strip, Q - lanes))
        place = n * P * Q + q
        _strip(window, vector, (H, W, P, Q, before[0], before[1], q), x.ctypes.data + n * H * W * item, further,
               y.ctypes.data + place * item, index.ctypes.data + place * 4)  # fmt: skip
        further += P * asked_for(window, vector)


@intrinsic
def lanes_of(_: Any, vector: Any) -> Any:
    return types.int64(vector), lambda *_: integer(vector.value[1])


@intrinsic
def asked_for(_: Any, window: Any, vector: Any) -> Any:
    return types.int64(window, vector), lambda *_: integer(_lines(window, vector) * LINE)


def _lines(window: Any, vector: Any) -> int:
    """Of the plane, which a vector of windows stands for."""
    (_, _, down, across, _), (itemsize, lanes) = window.value, vector.value
    return ceil(down * across * lanes * itemsize / LINE)


@intrinsic
def _strip(_: Any, window: Any, vector: Any, shape: Any, x: Any, further: Any, y: Any, index: Any) -> Any:
    """A vector of columns of a plane of the output, in all rows. further: bytes from x on to what is asked for."""
    if not isinstance(window, StaticType) or not isinstance(vector, StaticType):
        return None
    R, _, down, _, _ = window.value

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        _, _, shape, x, further, y, index = arguments
        v = Vectors(builder, *vector.value)
        H, W, P, Q, top, left, q = (builder.extract_value(shape, i) for i in range(7))
        columns = ir.VectorType(WORD, v.lanes)
        row_of = _Row(v, window.value, (x, W, left, q))
        asked = _lines(window, vector) * LINE
        last = builder.sub(H, integer(1))

        def row(p: Any, r: int) -> tuple[Any, Any]:
            h = builder.sub(builder.add(builder.mul(p, integer(down)), integer(r)), top)
            return row_of.largest(_clipped(builder, h, last))

        # Rows that the next window shares with this one are kept from one round to the next.
        shared = max(0, R - down)
        kept = [(cgutils.alloca_once(builder, v.type), cgutils.alloca_once(builder, columns)) for _ in range(shared)]
        for r, (value, where) in enumerate(kept):
            first = row(integer(0), r)
            builder.store(first[0], value)
            builder.store(first[1], where)
        with cgutils.for_range(builder, P) as loop:
            ahead = builder.add(builder.add(x, further), builder.mul(loop.index, integer(asked)))
            for line in range(0, asked, LINE):
                v.prefetch(v.at(ahead, line))
            rows = [(builder.load(value), builder.load(where)) for value, where in kept]
            rows += [row(loop.index, r) for r in range(shared, R)]
            for (value, where), old in zip(kept, rows[R - shared :], strict=True):
                builder.store(old[0], value)
                builder.store(old[1], where)
            best, where = _first_largest(builder, rows)
            offset = builder.mul(loop.index, Q)
            v.store(best, builder.add(y, builder.mul(offset, integer(v.itemsize))))
            place = builder.inttoptr(builder.add(index, builder.mul(offset, integer(4))), columns.as_pointer())
            builder.store(where, place, align=4)
        return context.get_dummy_value()

    return types.void(window, vector, shape, *[types.int64] * 4), generate


class _Row:
    """Writes the code for the largest elements of one row of the windows, a lane for each window."""

    def __init__(self, v: Vectors, window: Any, strip: Any) -> None:
        self.v, builder = v, v.builder
        (_, self.S, _, self.across, self.gathers), (self.x, self.W, left, q) = window, strip
        columns = ir.VectorType(WORD, v.lanes)
        self.start = builder.sub(builder.mul(q, integer(self.across)), left)
        start = spread(builder, word(builder, self.start), v.lanes)
        self.columns = [builder.add(start, count_up(columns, s, self.across)) for s in range(self.S)]
        if self.gathers:
            most = spread(builder, word(builder, builder.sub(self.W, integer(1))), v.lanes)
            self.columns = [_clipped(builder, c, most) for c in self.columns]

    def largest(self, h: Any) -> tuple[Any, Any]:
        """The first of the largest in row h, and its place in the plane."""
        v, builder = self.v, self.v.builder
        start = builder.mul(h, self.W)
        best, column = _first_largest(builder, list(zip(self._taps(start), self.columns, strict=True)))
        return best, builder.add(column, spread(builder, word(builder, start), v.lanes))

    def _taps(self, start: Any) -> list[Any]:
        v, builder, across = self.v, self.v.builder, self.across
        if self.gathers:
            row = spread(builder, self._address(start), v.lanes)
            wide, item = ir.VectorType(INT, v.lanes), ir.Constant(ir.VectorType(INT, v.lanes), [v.itemsize] * v.lanes)
            offsets = [builder.mul(builder.sext(c, wide), item) for c in self.columns]
            return [gather(builder, v.type, builder.add(row, offset)) for offset in offsets]
        taps: list[Any] = []
        for s in range(0, self.S, across):
            # Where a tap is missing from the last few, the last load begins earlier, so that it ends in the row too.
            back = max(0, s + across - self.S)
            parts = [self._load(start, s + i * (v.lanes - back)) for i in range(across)]
            for tap in range(across - back):
                places = range(tap, tap + across * v.lanes, across)
                taps.append(chosen(builder, parts[0], parts[-1], [i + back * (i >= v.lanes) for i in places]))
        return taps

    def _load(self, start: Any, s: int) -> Any:
        """Consecutive elements of a row."""
        return self.v.load(self._address(self.v.builder.add(start, self.v.builder.add(self.start, integer(s)))))

    def _address(self, place: Any) -> Any:
        return self.v.builder.add(self.x, self.v.builder.mul(place, integer(self.v.itemsize)))


def _first_largest(builder: Any, candidates: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Of (value, where) in order: the first of the largest values, or the first NaN."""
    (best, where), *others = candidates
    for value, here in others:
        larger = builder.fcmp_unordered(">", value, best)
        larger = builder.and_(larger, builder.fcmp_ordered("ord", best, best))
        best, where = builder.select(larger, value, best), builder.select(larger, here, where)
    return best, where


def _clipped(builder: Any, value: Any, most: Any) -> Any:
    """Within 0 … most: numbers, or vectors of them."""
    zero = ir.Constant(value.type, None)
    value = builder.select(builder.icmp_signed("<", value, zero), zero, value)
    return builder.select(builder.icmp_signed(">", value, most), most, value)
