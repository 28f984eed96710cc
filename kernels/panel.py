"""Matrix products held in registers: C (+)= A·B, with B's columns in panels of WIDTH vectors.

Math     C[i,j] (+)= Σ_k A[i,k]·B[k,j]
Shapes   A (m, k) with any two strides, so that A and Aᵀ cost the same; B (k, n) and C (m, n) with contiguous rows, n a
         multiple of the vector. B may be packed: its panels one behind the other, each (k, width) and contiguous
Threads  none: a serial core, for a thread's share of a larger whole
Traffic  a piece of a panel of B stays in the first cache for all rows of A, the next one on its way. Nothing is
         copied where whoever makes B packs it
Change   against BLAS: no packing inside, so that small m and k run at full rate too. 6 × WIDTH vectors of C stay in
         registers over all k; each step loads WIDTH vectors of B, and 6 numbers of A into every lane
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiled import jit
from .static import StaticType
from .vector import INT, REGISTERS, Vectors, each, integer, unrolled

Ask = Callable[[Any], None]  # writes the code that asks for memory in a step
ROWS = 6  # of C in registers
AT_ONCE = 4  # terms in a round of the loop over k, where all ROWS are there
LINE = 64  # bytes that a cache loads at once
WIDTH = 4 if REGISTERS == 32 else 2  # vectors in a row of them, a panel
# Terms that are summed in registers before they are added to C. Sums of sums: in one chain the rounding of 384 terms
# would be most of the error of a Winograd tile. And a piece of a panel fits the first cache.
PIECE = 128
PACKED_FROM = 8 * ROWS  # rows of A, from which on a panel of a B that is not packed is packed piece by piece


@jit
def matmul(vector, a, a_row, a_k, b, b_row, c, c_row, m, n, k, add, soon=0, lines=0):  # type: ignore[no-untyped-def]
    """C = A·B, or C += A·B where `add` is not 0, in vectors of type `vector` = Static(itemsize, lanes).

    a, b, c: addresses. a_row, a_k, b_row, c_row: bytes from one row or one k to the next, b_row = 0 where B is packed.
    n counts vectors. soon: where the `lines` begin that are needed after this product; they are asked for meanwhile.
    """
    size = vector_bytes(vector)
    panels, pieces = (n + WIDTH - 1) // WIDTH, (k + PIECE - 1) // PIECE
    if b_row:
        lines = min(lines, PIECE * a_k // LINE)
    share = lines // (panels if b_row else panels * pieces) + (lines > 0)
    for i in range(panels * pieces):
        # A packed B stays for all of A, panel by panel. One that is not is read piece by piece, and A beside it, once:
        # its k is large, and C, which they are added to, small.
        panel, piece = (i % panels, i // panels) if b_row else (i // pieces, i % pieces)
        j, begin = panel * WIDTH, piece * PIECE
        width, terms = min(n - j, WIDTH), min(PIECE, k - begin)
        first, b_k = (b + j * size, b_row) if b_row else (b + j * size * k, width * size)
        left, right, right_k = a + begin * a_k, first + begin * b_k, b_k
        later, after = right + terms * b_k, soon + i * share * LINE
        if b_row:
            later = right + width * size if panel < panels - 1 else b + (begin + terms) * b_row
            after = (left + terms * a_k if piece < pieces - 1 else soon) + panel * share * LINE
            if m >= PACKED_FROM:
                right, right_k = packed(vector, right, b_k, terms, width), width * size
        strip(vector, width, left, a_row, a_k, right, right_k, c + j * size, c_row, m, terms, add + begin, later, b_k,
              terms, after, share)  # fmt: skip


@intrinsic
def packed(_: Any, vector: Any, b: Any, b_row: Any, rows: Any, width: Any) -> Any:
    """The address of a copy of so many rows of B, one behind the other, on the stack.

    Rows that are a power of two apart would lie in a few sets of the first cache.
    """
    if not isinstance(vector, StaticType):
        return None

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        _, b, b_row, rows, width = arguments
        v = Vectors(builder, *vector.value)
        room = cgutils.alloca_once(builder, ir.ArrayType(v.type, PIECE * WIDTH))
        start = builder.ptrtoint(room, INT)

        def copy(columns: int) -> None:
            def one(row: Any) -> None:
                source, target = builder.mul(row, b_row), builder.mul(row, integer(columns * v.bytes))
                for j in range(columns):
                    vector_of_b = v.load(v.at(builder.add(b, source), j * v.bytes))
                    v.store(vector_of_b, v.at(builder.add(start, target), j * v.bytes))

            unrolled(builder, integer(0), rows, one, AT_ONCE)

        by_width(builder, width, copy)
        return start

    return types.int64(vector, *[types.int64] * 4), generate


@intrinsic
def vector_bytes(_: Any, vector: Any) -> Any:
    """The size of a vector, known when the code is compiled."""
    itemsize, lanes = vector.value
    return types.int64(vector), lambda *_: integer(itemsize * lanes)


@intrinsic
def item_bytes(_: Any, vector: Any) -> Any:
    """The size of a number in a vector."""
    return types.int64(vector), lambda *_: integer(vector.value[0])


@intrinsic
def zero(_: Any, vector: Any, address: Any, count: Any) -> Any:
    """So many vectors of zeros."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        v = Vectors(builder, *vector.value)
        with cgutils.for_range(builder, arguments[2]) as loop:
            v.store(v.constant(0), v.at(arguments[1], builder.mul(loop.index, integer(v.bytes))))
        return context.get_dummy_value()

    return types.void(vector, types.int64, types.int64), generate


@intrinsic
def strip(_: Any, vector: Any, width: Any, a: Any, a_row: Any, a_k: Any, b: Any, b_k: Any, c: Any, c_row: Any, m: Any,
          k: Any, add: Any, later: Any, later_k: Any, later_rows: Any, soon: Any, soon_lines: Any) -> Any:  # fmt: skip
    """A panel of C: all its rows, ROWS at a time. Meanwhile it asks for so many rows of a panel from `later` on, and so
    many lines from `soon` on."""
    if not isinstance(vector, StaticType):
        return None

    def panel(v: Vectors, columns: int, arguments: Any) -> None:
        a, a_row, a_k, b, b_k, c, c_row, m, k, add, later, later_k, later_rows, soon, soon_lines = arguments
        builder = v.builder
        lines = integer(max(1, columns * v.bytes // LINE))
        tiles = builder.sdiv(builder.add(m, integer(ROWS - 1)), integer(ROWS))
        share, more = (builder.sdiv(builder.add(count, builder.sub(tiles, integer(1))), tiles) for count in
                       (builder.mul(later_rows, lines), soon_lines))  # fmt: skip

        def tile(first: Any, rows: int) -> None:
            number = builder.sdiv(first, integer(ROWS))
            begin, line_of_soon = builder.mul(number, share), builder.mul(number, more)

            def ask(step: Any) -> None:
                line = builder.add(begin, step)
                row = builder.mul(builder.sdiv(line, lines), later_k)
                v.prefetch(builder.add(later, v.at(row, builder.mul(builder.srem(line, lines), integer(LINE)))))

            def ask_soon(step: Any) -> None:
                v.prefetch(v.at(soon, builder.mul(builder.add(line_of_soon, step), integer(LINE))))

            tile_of_a, tile_of_c = (builder.add(p, builder.mul(first, s)) for p, s in ((a, a_row), (c, c_row)))
            asked = [(share, ask), (more, ask_soon)]
            _tile(v, rows, columns, (tile_of_a, a_row, a_k), (b, b_k), (tile_of_c, c_row), k, add, asked)

        by_rows(builder, m, tile)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        v = Vectors(builder, *vector.value)
        by_width(builder, arguments[1], lambda columns: panel(v, columns, arguments[2:]))
        return context.get_dummy_value()

    return types.void(vector, *[types.int64] * 16), generate


def by_width(builder: Any, width: Any, panel: Callable[[int], None], most: int = WIDTH) -> None:
    """The code of panel(width), for a width up to `most` that is known when it runs."""
    for columns in range(1, most + 1):
        with builder.if_then(builder.icmp_signed("==", width, integer(columns))):
            panel(columns)


def by_rows(builder: Any, m: Any, tile: Callable[[Any, int], None]) -> None:
    """The code of tile(first, rows) for all of m rows, ROWS at a time and then those that are left."""
    whole = builder.sdiv(m, integer(ROWS))
    with each(builder, integer(0), whole) as index:
        tile(builder.mul(index, integer(ROWS)), ROWS)
    done = builder.mul(whole, integer(ROWS))
    left = builder.sub(m, done)
    for rows in range(1, ROWS):
        with builder.if_then(builder.icmp_signed("==", left, integer(rows))):
            tile(done, rows)


def _tile(v: Vectors, rows: int, width: int, a: Any, b: Any, c: Any, k: Any, add: Any, asked: Any) -> None:
    """The code of `rows` × `width` vectors of C."""
    builder = v.builder
    places = [[v.at(v.at(c[0], builder.mul(c[1], integer(i))), j * v.bytes) for j in range(width)] for i in range(rows)]
    every = [(i, j) for i in range(rows) for j in range(width)]
    sums = products(v, rows, width, a, b, k, asked)
    with builder.if_else(builder.icmp_signed("!=", add, integer(0))) as (adding, writing):
        with adding:
            for i, j in every:
                v.store(builder.fadd(v.load(places[i][j]), builder.load(sums[i][j])), places[i][j])
        with writing:
            for i, j in every:
                v.store(builder.load(sums[i][j]), places[i][j])


def products(
    v: Vectors, rows: int, width: int, a: Any, b: Any, k: Any, asked: list[tuple[Any, Ask]] | None = None
) -> list[list[Any]]:
    """The code of Σ_k a[i,k]·b[k,j] for `rows` × `width` vectors, which stay in registers over all k; where they are.

    a: (address, bytes from row to row, from k to k); b: (address, bytes from k to k). asked: in each of so many steps a
    line is asked for; more at once would have to wait for each other, and the products for them.
    """
    builder = v.builder
    sums = [[cgutils.alloca_once(builder, v.type) for _ in range(width)] for _ in range(rows)]
    every = [(i, j) for i in range(rows) for j in range(width)]
    for i, j in every:
        builder.store(v.constant(0), sums[i][j])
    starts = [v.at(a[0], builder.mul(a[1], integer(i))) for i in range(rows)]

    def step(number: Any) -> None:
        row = v.at(b[0], builder.mul(number, b[1]))
        column = builder.mul(number, a[2])
        vectors = [v.load(v.at(row, j * v.bytes)) for j in range(width)]
        numbers = [v.splat(v.at(start, column)) for start in starts]
        for i, j in every:
            builder.store(v.fma(numbers[i], vectors[j], builder.load(sums[i][j])), sums[i][j])

    done: Any = integer(0)
    for count, ask in asked or []:
        left = builder.sub(k, done)
        steps = builder.select(builder.icmp_signed("<", count, left), count, left)
        with each(builder, integer(0), steps) as index:
            ask(index)
            step(builder.add(done, index))
        done = builder.add(done, steps)
    unrolled(builder, done, k, step, AT_ONCE if rows == ROWS else 1)
    return sums
