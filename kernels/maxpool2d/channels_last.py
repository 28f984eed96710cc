"""Max-pooling of channels-last images in vectors of channels: serial cores for a part of the batch.

Math     y = the largest of a window; winner = its place in the window, r·S + s, as one byte. The first of equal
         elements wins, and a NaN beats every number. After a ReLU, a window whose largest is 0 passes nothing back:
         winner 255
         dx gathers: Σ over the windows that hold a pixel of dy where the winner is that pixel
Shapes   x (N, H, W, C), y and winner (N, P, Q, C); no padding
Threads  none: for a thread's images, forward for its rows of them
Traffic  x once, y and a byte each; an image stays in the second cache between a convolution and this
Change   against channels first: nothing is dealt out, every load is a whole vector; the index takes a byte, not four
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..compiled import jit
from ..panel import item_bytes, vector_bytes
from ..static import StaticType
from ..vector import Vectors, integer

NOBODY = 255
BYTE, WORD = ir.IntType(8), ir.IntType(32)


@jit
def forward(window, vector, shape, x, y, winner, first, last):  # type: ignore[no-untyped-def]
    """y and winner of the rows first … last of y, counted over images. window: Static(R, S, relu);
    shape: (H, W, C, P, Q, R, S, down, across); addresses. `relu`: x is what a ReLU made."""
    H, W, C, P, Q, _, _, down, across = shape
    item = item_bytes(vector)
    pixel = C * item
    for row in range(first, last):
        n, p = divmod(row, P)
        for q in range(Q):
            source = x + ((n * H + p * down) * W + q * across) * pixel
            target = row * Q + q
            _largest(window, vector, source, W * pixel, pixel, y + target * pixel, winner + target * C,
                     pixel // vector_bytes(vector))  # fmt: skip


@jit
def backward(vector, shape, dy, winner, dx, images):  # type: ignore[no-untyped-def]
    """dx of so many images."""
    H, W, C, P, Q, R, S, down, across = shape
    item = item_bytes(vector)
    pixel = C * item
    vectors = pixel // vector_bytes(vector)
    for n in range(images):
        for h in range(H):
            first_p, last_p = max(0, (h - R) // down + 1), min(P - 1, h // down)
            for w in range(W):
                first_q, last_q = max(0, (w - S) // across + 1), min(Q - 1, w // across)
                target, add = dx + ((n * H + h) * W + w) * pixel, 0
                for p in range(first_p, last_p + 1):
                    for q in range(first_q, last_q + 1):
                        place, code = (n * P + p) * Q + q, (h - p * down) * S + w - q * across
                        _where(vector, dy + place * pixel, winner + place * C, code, target, vectors, add)
                        add = 1
                if add == 0:
                    _where(vector, dy, winner, NOBODY + 1, target, vectors, 0)  # in no window: zeros


@intrinsic
def _largest(_: Any, window: Any, vector: Any, x: Any, row: Any, column: Any, y: Any, winner: Any, vectors: Any) -> Any:
    """One window, for so many vectors of channels."""
    if not isinstance(window, StaticType) or not isinstance(vector, StaticType):
        return None
    R, S, relu = window.value

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        _, _, x, row, column, y, winner, vectors = arguments
        v = Vectors(builder, *vector.value)
        index = ir.VectorType(WORD, v.lanes)
        starts = [
            builder.add(x, builder.add(builder.mul(row, integer(r)), builder.mul(column, integer(s))))
            for r in range(R)
            for s in range(S)
        ]
        with cgutils.for_range(builder, vectors) as loop:
            offset = builder.mul(loop.index, integer(v.bytes))
            best = v.load(builder.add(starts[0], offset))
            where = ir.Constant(index, [0] * v.lanes)
            for code, start in list(enumerate(starts))[1:]:
                value = v.load(builder.add(start, offset))
                number = builder.fcmp_ordered("ord", best, best)
                larger = builder.and_(builder.fcmp_unordered(">", value, best), number)
                best = builder.select(larger, value, best)
                where = builder.select(larger, ir.Constant(index, [code] * v.lanes), where)
            if relu:
                passes = builder.fcmp_ordered(">", best, v.constant(0))
                where = builder.select(passes, where, ir.Constant(index, [NOBODY] * v.lanes))
            v.store(best, builder.add(y, offset))
            bytes_ = builder.trunc(where, ir.VectorType(BYTE, v.lanes))
            place = builder.add(winner, builder.mul(loop.index, integer(v.lanes)))
            builder.store(bytes_, builder.inttoptr(place, bytes_.type.as_pointer()), align=1)
        return ir.Constant(ir.IntType(8).as_pointer(), None)

    return types.void(window, vector, *[types.int64] * 6), generate


@intrinsic
def _where(_: Any, vector: Any, dy: Any, winner: Any, code: Any, dx: Any, vectors: Any, add: Any) -> Any:
    """dx (+)= dy where the winner is `code`, else 0."""
    if not isinstance(vector, StaticType):
        return None

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        _, dy, winner, code, dx, vectors, add = arguments
        v = Vectors(builder, *vector.value)
        words, bytes_ = ir.VectorType(WORD, v.lanes), ir.VectorType(BYTE, v.lanes)
        one = builder.insert_element(ir.Constant(words, ir.Undefined), builder.trunc(code, WORD), ir.Constant(WORD, 0))
        codes = builder.shuffle_vector(one, ir.Constant(words, ir.Undefined), ir.Constant(words, [0] * v.lanes))
        adds = builder.icmp_signed("!=", add, integer(0))
        with cgutils.for_range(builder, vectors) as loop:
            offset = builder.mul(loop.index, integer(v.bytes))
            place = builder.add(winner, builder.mul(loop.index, integer(v.lanes)))
            won = builder.load(builder.inttoptr(place, bytes_.as_pointer()), align=1)
            mine = builder.icmp_signed("==", builder.zext(won, words), codes)
            share = builder.select(mine, v.load(builder.add(dy, offset)), v.constant(0))
            target = builder.add(dx, offset)
            before = builder.select(adds, v.load(target), v.constant(0))
            v.store(builder.fadd(share, before), target)
        return ir.Constant(ir.IntType(8).as_pointer(), None)

    return types.void(vector, *[types.int64] * 6), generate
