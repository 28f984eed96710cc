"""The whole backward of a linear layer and its step of momentum in one pass over the weights: dw is never written.

Math     dx = dy·w, of w as it was; dw = dyᵀ·x;  v ← μ·v − ε·(λ·w + dw);  w ← w + v
Shapes   x, dx (N, C), dy (N, K), w and v (K, C); C a multiple of the vector
Threads  none: a thread calls `backward` for some columns, so that no sum of dx is divided
Traffic  w and v read and written, each once: a tile of w is in registers while all images pass, for dx, and in the
         first or second cache when its own step follows. x, dx and dy are packed as the registers want them: in their
         own layout the N numbers of a column, which a tile needs one after the other, would lie in one set of the cache
Change   against the backwards and sgd_momentum_ one after the other: 4 in place of 8 times the weights' memory
"""

from typing import Any

from numba import types
from numba.extending import intrinsic

from ..compiled import jit
from ..panel import AT_ONCE, LINE, ROWS, WIDTH, by_rows, by_width, item_bytes, products, vector_bytes, zero
from ..static import StaticType
from ..vector import REGISTER_BYTES, Vectors, integer, unrolled

# Rows of w that a panel of x, once it is in the first cache, is used for. A panel of AVX2 is narrow and soon there
# again: there the next tile of w is the one beside, which the processor fetches by itself, and the rows of a block,
# that are often a power of two apart and so in one set of the cache, are few.
BLOCK = (8 if REGISTER_BYTES == 64 else 1) * ROWS


@jit
def pack_columns(x, lanes, first, last, packed):  # type: ignore[no-untyped-def]
    """The panels first … last of x (N, C): of WIDTH vectors each, one behind the other, into `packed` (N · C)."""
    N, C = x.shape
    for panel in range(first, last):
        begin = panel * WIDTH * lanes
        width = min(WIDTH * lanes, C - begin)
        for n in range(N):
            target, source = packed[begin * N + n * width :], x[n, begin : begin + width]
            for c in range(width):
                target[c] = source[c]


@jit
def unpack_columns(packed, lanes, first, last, x):  # type: ignore[no-untyped-def]
    """The panels first … last of x (N, C) from `packed`: the way back of `pack_columns`."""
    N, C = x.shape
    for panel in range(first, last):
        begin = panel * WIDTH * lanes
        width = min(WIDTH * lanes, C - begin)
        for n in range(N):
            target, source = x[n, begin : begin + width], packed[begin * N + n * width :]
            for c in range(width):
                target[c] = source[c]


@jit
def pack_rows(dy, packed):  # type: ignore[no-untyped-def]
    """dyᵀ in groups of six rows: packed (⌈K/6⌉, N, 6), zero in what is more than K."""
    N, K = dy.shape
    for n in range(N):
        for k in range(K):
            packed[k // ROWS, n, k % ROWS] = dy[n, k]
        for k in range(K, len(packed) * ROWS):
            packed[k // ROWS, n, k % ROWS] = 0


@jit
def backward(vector, dy, x, dx, w, v, N, K, C, first, last, lr, momentum, decay):  # type: ignore[no-untyped-def]
    """The panels first … last of dx, and then of w and v: a block of rows after the other.

    vector: Static(itemsize, lanes); addresses of dy, x and dx, packed as above, dx = 0 where nobody needs it, and of w
    and v. C counts vectors.
    """
    item, size = item_bytes(vector), vector_bytes(vector)
    row = C * size
    if dx:
        begin, end = first * WIDTH, min(last * WIDTH, C)
        zero(vector, dx + begin * size * N, (end - begin) * N)
    for k in range(0, K, BLOCK):
        rows, left = min(BLOCK, K - k), dy + k * N * item
        for j in range(first * WIDTH, min(last * WIDTH, C), WIDTH):
            packed, at, width = j * size * N, k * row + j * size, min(C - j, WIDTH)
            to = dx + packed if dx else 0
            _strip(vector, width, left, x + packed, to, w + at, v + at, row, N, rows, lr, momentum, decay)


@intrinsic
def _strip(_: Any, vector: Any, width: Any, dy: Any, x: Any, dx: Any, w: Any, v: Any, row: Any, N: Any, m: Any, lr: Any,
           momentum: Any, decay: Any) -> Any:  # fmt: skip
    """One panel of a block: its part of dx, then its step; ROWS of its rows at a time."""
    if not isinstance(vector, StaticType):
        return None

    def strip(vectors: Vectors, columns: int, arguments: Any) -> None:
        dy, x, dx, w, v, row, N, m, *rates = arguments
        builder = vectors.builder
        item, wide = vectors.itemsize, columns * vectors.bytes
        lines = max(1, wide // LINE)
        lr, momentum, decay = (vectors.everywhere(rate) for rate in rates)
        down = builder.fneg(lr)

        def places(first: Any, rows: int) -> list[list[Any]]:
            starts = [builder.mul(builder.add(first, integer(i)), row) for i in range(rows)]
            return [[vectors.at(start, j * vectors.bytes) for j in range(columns)] for start in starts]

        def numbers(first: Any) -> Any:
            return builder.add(dy, builder.mul(first, builder.mul(N, integer(item))))

        def to_dx(first: Any, rows: int) -> None:
            tile = [[vectors.load(builder.add(w, place)) for place in of_row] for of_row in places(first, rows)]
            left = numbers(first)

            def image(index: Any) -> None:
                of_image = builder.add(left, builder.mul(index, integer(ROWS * item)))
                factors = [vectors.splat(vectors.at(of_image, i * item)) for i in range(rows)]
                for j in range(columns):
                    target = vectors.at(builder.add(dx, builder.mul(index, integer(wide))), j * vectors.bytes)
                    total = vectors.load(target)
                    for i in range(rows):
                        total = vectors.fma(factors[i], tile[i][j], total)
                    vectors.store(total, target)

            unrolled(builder, integer(0), N, image, AT_ONCE if rows == ROWS else 1)

        def step(first: Any, rows: int) -> None:
            def ask(number: Any) -> None:
                """The tile beside this one comes after all rows of the block: too late for the processor's own."""
                beside = builder.mul(builder.add(first, builder.sdiv(number, integer(lines))), row)
                line = builder.mul(builder.srem(number, integer(lines)), integer(LINE))
                for base in (w, v):
                    vectors.prefetch_to_write(vectors.at(builder.add(base, builder.add(beside, line)), wide))

            tile = [(i, j, place) for i, of_row in enumerate(places(first, rows)) for j, place in enumerate(of_row)]
            # Read long before they are written, and v written first: rows of w and v that lie in one set of the cache
            # would drive each other out of it between a load and its store.
            weights = [vectors.load(builder.add(w, place)) for _, _, place in tile]
            sums = products(vectors, rows, columns, (numbers(first), integer(item), integer(ROWS * item)),
                            (x, integer(wide)), N, [(integer(rows * lines), ask)] if BLOCK > ROWS else [])  # fmt: skip
            speeds: list[Any] = []
            for weight, (i, j, place) in zip(weights, tile, strict=True):
                change = vectors.fma(decay, weight, builder.load(sums[i][j]))
                at_v = builder.add(v, place)
                speeds.append(vectors.fma(down, change, builder.fmul(momentum, vectors.load(at_v))))
                vectors.store(speeds[-1], at_v)
            for weight, speed, (_, _, place) in zip(weights, speeds, tile, strict=True):
                vectors.store(builder.fadd(weight, speed), builder.add(w, place))

        with builder.if_then(builder.icmp_signed("!=", dx, integer(0))):
            by_rows(builder, m, to_dx)
        by_rows(builder, m, step)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        vectors = Vectors(builder, *vector.value)
        by_width(builder, arguments[1], lambda columns: strip(vectors, columns, arguments[2:]))
        return context.get_dummy_value()

    return types.void(vector, *[types.int64] * 9, *[types.float64] * 3), generate
