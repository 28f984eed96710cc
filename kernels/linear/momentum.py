"""The whole backward of a linear layer and its step of momentum in one pass over the weights: dw is never written.

Math     dx = dy·w, of w as it was; dw = dyᵀ·x;  v ← μ·v − ε·(λ·w + dw);  w ← w + v
Shapes   x, dx (N, C), dy (N, K), w and v (K, C); C a multiple of the vector
Threads  none: a thread calls `backward` for some columns, so that no sum of dx is divided
Traffic  w and v read and written, each once. x and dy are packed first, as the registers want them: in their own layout
         the N numbers of a column, which a tile reads in a row, would lie in one set of the cache
Change   against the backwards and sgd_momentum_ one after the other: 4 in place of 8 times the weights' memory
"""

from itertools import chain
from typing import Any

from numba import types
from numba.extending import intrinsic

from ..compiled import jit
from ..panel import ROWS, WIDTH, by_rows, item_bytes, matmul, products, vector_bytes
from ..static import StaticType
from ..vector import Vectors, integer

BLOCK = 8 * ROWS  # rows of w that a panel of x, once it is in the first cache, is used for


@jit
def pack_columns(x, lanes, first, last, packed):  # type: ignore[no-untyped-def]
    """The panels first … last of x (N, C): of four vectors each, one behind the other, into `packed` (N · C)."""
    N, C = x.shape
    for panel in range(first, last):
        begin = panel * WIDTH * lanes
        width = min(WIDTH * lanes, C - begin)
        for n in range(N):
            target, source = packed[begin * N + n * width :], x[n, begin : begin + width]
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
def backward(vector, dy, rows_of_dy, x, w, v, dx, N, K, C, first, last, lr, momentum, decay):  # type: ignore[no-untyped-def]
    """The panels first … last of dx, and then of w and v: a block of rows after the other.

    vector: Static(itemsize, lanes); addresses of dy (N, K), of dy and x as packed above, of w, v and dx, which is 0
    where nobody needs it. C counts vectors.
    """
    item, size = item_bytes(vector), vector_bytes(vector)
    row = C * size
    for k in range(0, K, BLOCK):
        rows, left = min(BLOCK, K - k), rows_of_dy + k * N * item
        for j in range(first * WIDTH, min(last * WIDTH, C), 4):
            panel, at, width = x + j * size * N, k * row + j * size, min(C - j, 4)
            if dx:
                matmul(vector, dy + k * item, K * item, item, w + at, row, dx + j * size, row, N, width, rows, k)
            if width == 4:
                _strip(vector, 4, left, panel, w + at, v + at, row, N, rows, lr, momentum, decay)
            elif width == 3:
                _strip(vector, 3, left, panel, w + at, v + at, row, N, rows, lr, momentum, decay)
            elif width == 2:
                _strip(vector, 2, left, panel, w + at, v + at, row, N, rows, lr, momentum, decay)
            else:
                _strip(vector, 1, left, panel, w + at, v + at, row, N, rows, lr, momentum, decay)


@intrinsic
def _strip(_: Any, vector: Any, width: Any, dy: Any, x: Any, w: Any, v: Any, row: Any, N: Any, m: Any, lr: Any,
           momentum: Any, decay: Any) -> Any:  # fmt: skip
    """One panel: all its rows, ROWS at a time."""
    if not isinstance(vector, StaticType) or not isinstance(width, types.IntegerLiteral):
        return None
    columns = width.literal_value

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        _, _, dy, x, w, v, row, N, m, *rates = arguments
        vectors = Vectors(builder, *vector.value)
        item = vectors.itemsize
        lr, momentum, decay = (vectors.everywhere(rate) for rate in rates)
        down = builder.fneg(lr)

        def tile(first: Any, rows: int) -> None:
            left = vectors.at(dy, builder.mul(first, builder.mul(N, integer(item))))
            places = [
                vectors.at(builder.mul(builder.add(first, integer(i)), row), j * vectors.bytes)
                for i in range(rows)
                for j in range(columns)
            ]
            sums = products(vectors, rows, columns, (left, integer(item), integer(ROWS * item)),
                            (x, integer(columns * vectors.bytes)), N)  # fmt: skip
            for place, sum_ in zip(places, chain.from_iterable(sums), strict=True):
                at_w, at_v = builder.add(w, place), builder.add(v, place)
                weight = vectors.load(at_w)
                step = vectors.fma(decay, weight, builder.load(sum_))
                speed = vectors.fma(down, step, builder.fmul(momentum, vectors.load(at_v)))
                vectors.store(speed, at_v)
                vectors.store(builder.fadd(weight, speed), at_w)
                for at in (at_w, at_v):  # the tile beside this one comes after all rows: too late for the processor's
                    vectors.prefetch_to_write(vectors.at(at, columns * vectors.bytes))

        by_rows(builder, m, tile)
        return context.get_dummy_value()

    return types.void(vector, width, *[types.int64] * 7, *[types.float64] * 3), generate
