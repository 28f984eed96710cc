"""The whole backward of a linear layer and its step of momentum in one pass over the weights: dw is never written.

Math     dx = dy·w, of w as it was; dw = dyᵀ·x;  v ← μ·v − ε·(λ·w + dw);  w ← w + v
Shapes   x, dx (N, C), dy (N, K), w and v (K, C); C a multiple of the vector
Threads  none: a thread calls `backward` for some columns, so that no sum of dx is divided
Traffic  w and v read and written, each once: a piece of w is copied into panels for dx, and is in the second cache when
         its own step follows. x, dx and dy are packed as the registers want them: in their own layout the N numbers of
         a column, which a tile needs one after the other, would lie in one set of the cache
Change   against the backwards and sgd_momentum_ one after the other: 4 in place of 8 times the weights' memory
"""

from typing import Any

from numba import types
from numba.extending import intrinsic

from ..compiled import jit
from ..panel import LINE, ROWS, WIDTH, by_rows, by_width, item_bytes, packed, products, strip, vector_bytes
from ..static import StaticType
from ..vector import REGISTER_BYTES, Vectors, each, integer

# A piece of w, so many rows and panels of columns, with its v: it stays in the second cache while it is first used for
# dx and then makes its step. The next is asked for meanwhile, row by row as memory likes it.
BLOCK = 4 * ROWS
PANELS = 24 if REGISTER_BYTES == 64 else 48


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
    """dy in blocks of so many columns: packed (⌈K/BLOCK⌉, N, BLOCK), zero in what is more than K."""
    N, K = dy.shape
    for n in range(N):
        for k in range(K):
            packed[k // BLOCK, n, k % BLOCK] = dy[n, k]
        for k in range(K, len(packed) * BLOCK):
            packed[k // BLOCK, n, k % BLOCK] = 0


@jit
def backward(vector, dy, x, dx, w, v, N, K, C, first, last, lr, momentum, decay):  # type: ignore[no-untyped-def]
    """The panels first … last of dx, and then of w and v: a block of rows after the other.

    vector: Static(itemsize, lanes); addresses of dy, x and dx, packed as above, dx = 0 where nobody needs it, and of w
    and v. C counts vectors.
    """
    item, size = item_bytes(vector), vector_bytes(vector)
    row = C * size
    end = min(last * WIDTH, C)
    for k in range(0, K, BLOCK):
        rows, left = min(BLOCK, K - k), dy + k * N * item
        for begin in range(first * WIDTH, end, PANELS * WIDTH):
            wide, at = min(end - begin, PANELS * WIDTH), k * row + begin * size
            later = at + wide * size if begin + wide < end else at + BLOCK * row - (begin - first * WIDTH) * size
            if dx:
                for j in range(0, wide, WIDTH):
                    width, to = min(wide - j, WIDTH), dx + (begin + j) * size * N
                    block = packed(vector, w + at + j * size, row, rows, width)
                    lines = j * size * rows  # of the next piece, those that are asked for before this panel
                    ask = w + later + lines // (wide * size) * row + lines % (wide * size)
                    strip(vector, width, left, BLOCK * item, item, block, width * size, to, width * size, N, rows, k,
                          ask, width * size, rows, 0, 0)  # fmt: skip
            _step(
                vector, left, x + begin * size * N, w + at, v + at, row, N, rows, wide, v + later, lr, momentum, decay
            )


@intrinsic
def _step(_: Any, vector: Any, dy: Any, x: Any, w: Any, v: Any, row: Any, N: Any, m: Any, count: Any, later: Any,
          lr: Any, momentum: Any, decay: Any) -> Any:  # fmt: skip
    """The step of m rows of w, `count` vectors of each; meanwhile the v at `later` is asked for."""
    if not isinstance(vector, StaticType):
        return None

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        _, dy, x, w, v, row, N, m, count, later, *rates = arguments
        vectors = Vectors(builder, *vector.value)
        item = vectors.itemsize
        lr, momentum, decay = (vectors.everywhere(rate) for rate in rates)
        down = builder.fneg(lr)

        def tile(first: Any, rows: int, begin: Any, columns: int) -> None:
            """Some rows from `first` on, `columns` vectors of each from vector `begin` on."""
            wide, across = columns * vectors.bytes, builder.mul(begin, integer(vectors.bytes))
            starts = [builder.add(builder.mul(builder.add(first, integer(i)), row), across) for i in range(rows)]
            places = [[vectors.at(start, j * vectors.bytes) for j in range(columns)] for start in starts]
            lines = max(1, wide // LINE)

            def ask(number: Any) -> None:
                below = builder.mul(builder.add(first, builder.sdiv(number, integer(lines))), row)
                line = builder.mul(builder.srem(number, integer(lines)), integer(LINE))
                vectors.prefetch(builder.add(later, builder.add(builder.add(below, across), line)))

            # Read long before they are written, and v written first: rows of w and v that lie in one set of the cache
            # would drive each other out of it between a load and its store.
            weights = [[vectors.load(builder.add(w, place)) for place in of_row] for of_row in places]
            numbers, of_panel = vectors.at(dy, builder.mul(first, integer(item))), builder.mul(across, N)
            sums = products(vectors, rows, columns, (numbers, integer(item), integer(BLOCK * item)),
                            (builder.add(x, of_panel), integer(wide)), N, [(integer(rows * lines), ask)])  # fmt: skip
            speeds: list[list[Any]] = [[] for _ in places]
            for i, of_row in enumerate(places):
                for j, place in enumerate(of_row):
                    change = vectors.fma(decay, weights[i][j], builder.load(sums[i][j]))
                    before = builder.fmul(momentum, vectors.load(builder.add(v, place)))
                    speeds[i].append(vectors.fma(down, change, before))
                    vectors.store(speeds[i][j], builder.add(v, place))
            for i, of_row in enumerate(places):
                for j, place in enumerate(of_row):
                    vectors.store(builder.fadd(weights[i][j], speeds[i][j]), builder.add(w, place))

        def panels(first: Any, rows: int) -> None:
            whole = builder.sdiv(count, integer(WIDTH))
            with each(builder, integer(0), whole) as index:
                tile(first, rows, builder.mul(index, integer(WIDTH)), WIDTH)
            done = builder.mul(whole, integer(WIDTH))
            by_width(builder, builder.sub(count, done), lambda columns: tile(first, rows, done, columns), WIDTH - 1)

        by_rows(builder, m, panels)
        return context.get_dummy_value()

    return types.void(vector, *[types.int64] * 9, *[types.float64] * 3), generate
