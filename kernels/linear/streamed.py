"""A product with a weight matrix that streams through the caches once: serial cores for a thread's rows of it.

Math     yᵀ = w·xᵀ + b; y = x·wᵀ + b of one image; then y = factor · max(y, least): with least = 0 a ReLU, with −∞
         nothing, and the factor is that of dropout in a prediction
Shapes   x (N, C), y (N, K), w (K, C)
Threads  none: a thread calls `forward`, or `forward_one`, for some rows of w
Traffic  w once. A piece of six of its rows is copied first, since rows of 4096 or 9216 numbers lie in the same sets of
         the first cache and would drive each other out of it, and the next six are asked for, row by row. xᵀ comes from
         the second cache, a piece after the other
Change   against BLAS, which copies all of w into panels first, so that it costs a batch of 32 more than its products:
         here the numbers of w go as they are into all lanes, and the small xᵀ is packed
"""

from math import ceil
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..compiled import jit
from ..panel import LINE, PIECE, ROWS, WIDTH, item_bytes, strip, vector_bytes
from ..static import StaticType
from ..vector import INT, Vectors, each, integer

CACHED = 1 << 15  # bytes of a piece of a panel of xᵀ
BLOCK = 8 * ROWS  # rows of w that a piece of xᵀ, once it is in the second cache, is used for
ROOM = 8 * PIECE + LINE  # bytes for a piece of one; a line more, so that all begin in different sets of the cache
SUMS = 8  # of one row, so that an addition need not wait for the one before
AHEAD = 1 << 11  # bytes: what arrives while the memory answers


def piece(N: int, C: int, lanes: int, itemsize: int) -> int:
    """Features at a time: as many as leave a panel's piece in the first cache."""
    width = min(ceil(N / lanes), WIDTH) * lanes * itemsize
    return min(C, CACHED // width)


@jit
def pack_transposed(x, lanes, piece, first, last, packed):  # type: ignore[no-untyped-def]
    """xᵀ of the pieces first … last, each of `piece` features, in panels of WIDTH vectors of images; 0 past the batch.

    x (N, C); packed: flat, C · (N rounded up to vectors).
    """
    N, C = x.shape
    wide = (N + lanes - 1) // lanes * lanes
    for number in range(first, last):
        begin = number * piece
        features = min(piece, C - begin)
        for j in range(0, wide, WIDTH * lanes):
            width = min(WIDTH * lanes, wide - j)
            panel = packed[begin * wide + j * features :]
            for n in range(width):
                for c in range(features):
                    panel[c * width + n] = x[j + n, begin + c] if j + n < N else x.dtype.type(0)


@jit
def forward(vector, x, w, b, y, start, stop, turned, N, C, piece, least, factor):  # type: ignore[no-untyped-def]
    """y of the rows start … stop of w, a block at a time, for which a piece of xᵀ stays in the second cache.

    vector: Static(itemsize, lanes); addresses of x, packed, and of w; b (K,) and y (N, K): arrays; turned (rows of a
    block, N rounded up to vectors): scratch.
    """
    item, size = item_bytes(vector), vector_bytes(vector)
    block, wide = len(turned), turned.shape[1] * item
    sums, least, factor = turned.ctypes.data, y.dtype.type(least), y.dtype.type(factor)
    for first in range(start, stop, block):
        rows = min(block, stop - first)
        for begin in range(0, C, piece):
            features, of_piece = min(piece, C - begin), x + begin * wide
            for row in range(0, rows, ROWS):
                count, to = min(ROWS, rows - row), sums + row * wide
                here = w + ((first + row) * C + begin) * item
                later = here + ROWS * C * item
                if row + ROWS >= rows:
                    later = w + ((first + block) * C if begin + features == C else first * C + begin + features) * item
                strips = 0
                for k in range(0, features, PIECE):
                    terms = min(PIECE, features - k)
                    left = copied(here + k * item, C * item, count, terms * item)
                    for j in range(0, wide, WIDTH * size):
                        width = min(wide - j, WIDTH * size)
                        panel, ask = of_piece + j * features + k * width, later + strips * C * item
                        lines = features * item // LINE if strips < ROWS else 0
                        strip(vector, width // size, left, ROOM, item, panel, width, to + j, wide, count, terms,
                              begin + k, 0, 0, 0, ask, lines)  # fmt: skip
                        strips += 1
        for n in range(N):
            for k in range(rows):
                number = turned[k, n] + b[first + k]
                y[n, first + k] = factor * (least if number <= least else number)  # NaN stays


@intrinsic
def copied(_: Any, a: Any, a_row: Any, rows: Any, size: Any) -> Any:
    """The address of a copy of `size` bytes of each of so many rows, ROOM bytes apart, on the stack."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        a, a_row, rows, size = arguments
        room = cgutils.alloca_once(builder, ir.ArrayType(ir.IntType(8), ROWS * ROOM))
        start, byte = builder.ptrtoint(room, INT), ir.IntType(8).as_pointer()
        with each(builder, integer(0), rows) as index:
            source = builder.add(a, builder.mul(index, a_row))
            target = builder.add(start, builder.mul(index, integer(ROOM)))
            cgutils.raw_memcpy(builder, *(builder.inttoptr(end, byte) for end in (target, source)), size, 1)
        return start

    return types.int64(*[types.int64] * 4), generate


@intrinsic
def for_one(_: Any, vector: Any, x: Any, w: Any, b: Any, y: Any, C: Any, rows: Any, least: Any, factor: Any) -> Any:
    """y of one image, of so many rows of w. C counts numbers, and is a multiple of the vector.

    A row has a thread's whole attention, in eight sums; what lies 2 KB ahead is asked for, since a processor by itself
    fetches no further than to the end of a page.
    """
    if not isinstance(vector, StaticType):
        return None

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        _, x, w, b, y, C, rows, least, factor = arguments
        v = Vectors(builder, *vector.value)
        item, many = integer(v.itemsize), integer(SUMS * v.bytes)
        row_bytes = builder.mul(C, item)
        whole = builder.sdiv(row_bytes, many)
        if v.itemsize == 4:
            least, factor = (builder.fptrunc(number, v.scalar) for number in (least, factor))
        sums = [cgutils.alloca_once(builder, v.type) for _ in range(SUMS)]

        def add(i: int, place: Any, row: Any) -> None:
            product = v.fma(v.load(builder.add(row, place)), v.load(builder.add(x, place)), builder.load(sums[i]))
            builder.store(product, sums[i])

        with cgutils.for_range(builder, rows) as outer:
            row = builder.add(w, builder.mul(outer.index, row_bytes))
            for sum_ in sums:
                builder.store(v.constant(0), sum_)
            with cgutils.for_range(builder, whole) as loop:
                start = builder.mul(loop.index, many)
                for i in range(SUMS):
                    place = v.at(start, i * v.bytes)
                    if i * v.bytes % LINE == 0:
                        v.prefetch(v.at(builder.add(row, place), AHEAD))
                    add(i, place, row)
            rest = builder.mul(whole, many)
            with cgutils.for_range_slice(builder, rest, row_bytes, integer(v.bytes), INT) as (place, _):
                add(0, place, row)
            total = builder.load(sums[0])
            for sum_ in sums[1:]:
                total = builder.fadd(total, builder.load(sum_))
            at = builder.mul(outer.index, item)
            number = builder.load(builder.inttoptr(builder.add(b, at), v.scalar.as_pointer()))
            for lane in range(v.lanes):
                number = builder.fadd(number, builder.extract_element(total, integer(lane)))
            number = builder.select(builder.fcmp_ordered("<=", number, least), least, number)
            number = builder.fmul(factor, number)
            builder.store(number, builder.inttoptr(builder.add(y, at), v.scalar.as_pointer()))
        return context.get_dummy_value()

    return types.void(vector, *[types.int64] * 6, types.float64, types.float64), generate


@jit
def forward_one(vector, x, w, b, y, C, rows, least, factor):  # type: ignore[no-untyped-def]
    """y of one image, of so many rows of w: addresses of the image, and of the first row's w, b and y."""
    for_one(vector, x, w, b, y, C, rows, least, factor)
