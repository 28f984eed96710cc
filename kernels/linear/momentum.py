"""The weights' gradient of a linear layer and its step of momentum in one pass: dw is never written.

Math     dw = dyᵀ·x;  v ← μ·v − ε·(λ·w + dw);  w ← w + v
Shapes   x (N, C), dy (N, K), w and v (K, C); C a multiple of the vector
Threads  none: a thread calls `update` for some rows of w
Traffic  w and v read and written, each once. x and dy are packed first, as the registers want them: in their own layout
         the N numbers of a column, which a tile reads in a row, would lie in one set of the cache
Change   against linear_backward_weights and sgd_momentum_: 4 in place of 7 times the weights' memory
"""

from itertools import chain
from typing import Any

from numba import types
from numba.extending import intrinsic

from ..compiled import jit
from ..panel import ROWS, WIDTH, by_rows, item_bytes, products, vector_bytes
from ..static import StaticType
from ..vector import Vectors, integer

BLOCK = 8 * ROWS


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
def update(vector, dy, x, w, v, N, C, rows, lr, momentum, decay):  # type: ignore[no-untyped-def]
    """So many rows of w and v, a block of them at a time, for which a panel of x stays in the first cache.

    vector: Static(itemsize, lanes); addresses of dy from the group with the first row on and of x, both packed, and of
    the first row in w and v; C counts vectors.
    """
    item, row = item_bytes(vector), C * vector_bytes(vector)
    for first in range(0, rows, BLOCK):
        some = min(BLOCK, rows - first)
        at = first * row
        _block(vector, dy + first * N * item, x, w + at, v + at, N, C, some, lr, momentum, decay)


@jit
def _block(vector, dy, x, w, v, N, C, rows, lr, momentum, decay):  # type: ignore[no-untyped-def]
    size = vector_bytes(vector)
    for j in range(0, C, 4):
        panel, at, width = x + j * size * N, j * size, min(C - j, 4)
        if width == 4:
            _strip(vector, 4, dy, panel, w + at, v + at, C * size, N, rows, lr, momentum, decay)
        elif width == 3:
            _strip(vector, 3, dy, panel, w + at, v + at, C * size, N, rows, lr, momentum, decay)
        elif width == 2:
            _strip(vector, 2, dy, panel, w + at, v + at, C * size, N, rows, lr, momentum, decay)
        else:
            _strip(vector, 1, dy, panel, w + at, v + at, C * size, N, rows, lr, momentum, decay)


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
