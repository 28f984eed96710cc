"""maxpool2d_backward in vectors along a row of dx: each element takes from the windows it lies in.

Math     dx[h, w] = Σ dy where the index is h·W + w, in the order of dy
Shapes   dx (N·C, H, W), dy and index (N·C, P, Q). Rows b·down … (b + 1)·down − 1 of dx lie in window rows b, b − 1, …;
         so do columns: a lane has `across` neighbours of a row, and window j of those that begin among them
Threads  each has a contiguous part of the planes
Traffic  dy and index once; dx once, and once more from memory before it is written
Change   against scatter: nothing is added to what was just stored, for which a processor has to wait, or finds too
         late that it should have

The windows over an element are neighbours in the flat dy, of which a plane is copied to amid indices that point
nowhere: so no row has an edge. A window of another row that is met there does not point here; if it does, to take from
it is right. Windows that were taken from are counted: where some were not, since they point out of themselves, the
plane is made by `scatter`.

Nor have the rows of dx an edge: what is written behind one is overwritten by the next, in the next plane too.
"""

from functools import cache, reduce
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import maxpool2d_backward
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.parallel import share

from ..ahead import AHEAD
from ..chunks import small_in_tests
from ..compiled import LEAST_MOVED, jit_in_order, unsigned
from ..lanes import WORD, chosen, spread, word
from ..static import Static, StaticType
from ..vector import INT, REGISTER_BYTES, Vectors, integer
from .cpu_numba_backward_scatter import scatter
from .cpu_numba_rows import LARGEST, lanes_of

NOWHERE = -1  # an index
OUTSIDE = -(1 << 30)  # of a row: with any row's place, still below 0
small_in_tests(__name__, LEAST_MOVED=1)


def refuses(dy: Spec, index: Spec, *, x_shape: tuple[int, ...], size: Pair, stride: Pair, padding: Sides) -> str | None:
    if padding != ((0, 0), (0, 0)):
        return "rows with padding have edges"
    if stride[1] > 2:
        return f"a stride of {stride[1]} would deal rows to more than two vectors"
    if size[0] * size[1] > LARGEST:
        return f"a window of {size} has more than the {LARGEST} elements that fit its code"
    if dy.shape[3] < ceil(size[1] / stride[1]):
        return f"rows of {dy.shape[3]} windows, of which more lie over an element"
    if x_shape[2] * x_shape[3] >= -OUTSIDE:
        return f"planes of {x_shape[2:]} have places that do not fit its sums"
    if _form(size, stride, dy.dtype.itemsize, x_shape[2:], dy.shape[2:]).room[2] > x_shape[2] * x_shape[3]:
        return f"planes of {x_shape[2:]} are smaller than what is written behind each"
    return None


@maxpool2d_backward.kernel("cpu_numba/rows", refuses=refuses)
def backward(
    dy: Array, index: Array, *, x_shape: tuple[int, ...], size: Pair, stride: Pair, padding: Sides, out: Array
) -> None:
    planes, form = x_shape[0] * x_shape[1], _form(size, stride, dy.itemsize, x_shape[2:], dy.shape[2:])
    dy, index, dx = (array.reshape(planes, -1) for array in (dy, index, out))
    least = ceil(LEAST_MOVED / dx[0].size)
    share(planes, lambda lo, hi: _backward(*form, dy[lo:hi], index[lo:hi], dx[lo:hi]), least=least)


class Form(NamedTuple):
    """What the core is told.

    window   size and stride
    vector   the widest that a row fills
    shape    (H, W, P, Q)
    columns  of dx: of each neighbour, in every lane of a row's vectors
    room     elements that are read before a plane of windows and behind it, and written behind a plane of dx
    """

    window: Static
    vector: Static
    shape: tuple[int, ...]
    columns: Array
    room: tuple[int, int, int]


@cache
def _form(size: Pair, stride: Pair, itemsize: int, plane: Pair, windows: Pair) -> Form:
    (R, S), (down, across), (H, W), (P, Q) = size, stride, plane, windows
    begin, rows = ceil(W / across), ceil(H / down)  # how many begin in a row, and the groups of rows
    lanes = min(REGISTER_BYTES // itemsize, 1 << (begin - 1).bit_length())
    width = ceil(begin / lanes) * lanes
    columns = np.arange(width * across, dtype=np.int32)
    columns[W:] = OUTSIDE
    above, below = (ceil(R / down) - 1) * Q + ceil(S / across) - 1, (rows - P) * Q + width
    behind = (rows * down - H) * W + width * across - W
    neighbours = np.ascontiguousarray(columns.reshape(width, across).T)
    return Form(Static(*size, *stride), Static(itemsize, lanes), (H, W, P, Q), neighbours, (above, below, behind))


@jit_in_order
def _backward(window, vector, shape, columns, room, dy, index, dx):  # type: ignore[no-untyped-def]
    (H, W, P, Q), (above, below, behind) = shape, room
    windows, vectors, item = P * Q, columns.shape[1] // lanes_of(vector), dx.itemsize
    gradient, places = np.zeros(above + windows + below, dx.dtype), np.full(above + windows + below, NOWHERE, np.int32)
    last = np.empty(H * W + behind, dx.dtype)  # plane, behind which nothing is this thread's
    for n in range(len(dx)):
        for i in range(windows):
            gradient[unsigned(above + i)], places[unsigned(above + i)] = dy[n, unsigned(i)], index[n, unsigned(i)]
        target = dx[n] if n + 1 < len(dx) else last
        taken = _plane(window, vector, (H, W, Q, vectors), columns.ctypes.data,
                       gradient.ctypes.data + above * item, places.ctypes.data + above * 4,
                       dy[n].ctypes.data + max(AHEAD, windows * item), index[n].ctypes.data + max(AHEAD, windows * 4),
                       target.ctypes.data, max(AHEAD, H * W * item))  # fmt: skip
        if n + 1 == len(dx):
            dx[n] = last[: H * W]
        if taken != windows:
            dx[n] = 0
            scatter(n, dy, index, dx)


@intrinsic
def _plane(_: Any, window: Any, vector: Any, shape: Any, columns: Any, dy: Any, index: Any, next_dy: Any,
           next_index: Any, dx: Any, further: Any) -> Any:  # fmt: skip
    """A plane of dx: how many windows were taken from.

    next_dy, next_index: addresses of what is asked for meanwhile. further: bytes from dx on to what will be written.
    """
    if not isinstance(window, StaticType) or not isinstance(vector, StaticType):
        return None
    R, S, down, across = window.value
    # How far back the windows over an element are, the first of them first.
    back = [(k, i) for k in reversed(range(ceil(R / down))) for i in reversed(range(ceil(S / across)))]

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        _, _, shape, columns, dy, index, next_dy, next_index, dx, further = arguments
        v = Vectors(builder, *vector.value)
        words = ir.VectorType(WORD, v.lanes)
        H, W, Q, vectors = (builder.extract_value(shape, i) for i in range(4))
        groups = builder.sdiv(builder.add(H, integer(down - 1)), integer(down))
        taken = cgutils.alloca_once_value(builder, ir.Constant(words, None))

        def at(array: Any, place: Any, itemsize: int = v.itemsize) -> Any:
            return builder.add(array, builder.mul(place, integer(itemsize)))

        def load_words(address: Any) -> Any:
            return builder.load(builder.inttoptr(address, words.as_pointer()), align=4)

        # From a row's last vector to its first: what the last writes behind the row is overwritten by the next's first.
        with cgutils.for_range(builder, groups) as b, cgutils.for_range(builder, vectors) as vector_:
            j = builder.mul(builder.sub(builder.sub(vectors, integer(1)), vector_.index), integer(v.lanes))
            first = builder.add(builder.mul(b.index, Q), j)
            v.prefetch(at(next_dy, first), nearness=3)
            v.prefetch(at(next_index, first, 4), nearness=3)
            windows = {}
            for k, i in back:
                place = builder.sub(builder.sub(first, builder.mul(Q, integer(k))), integer(i))
                windows[k, i] = load_words(at(index, place, 4)), v.load(at(dy, place))
            for r in range(down):
                row = builder.mul(builder.add(builder.mul(b.index, integer(down)), integer(r)), W)
                sums = []
                for c in range(across):
                    column = builder.add(builder.mul(vectors, integer(c * v.lanes)), j)
                    here = builder.add(spread(builder, word(builder, row), v.lanes), load_words(at(columns, column, 4)))
                    over = [windows[k, i] for k, i in back if k * down + r < R and i * across + c < S]
                    sums.append(_taken(v, over, here, taken))
                start = at(dx, builder.add(row, builder.mul(j, integer(across))))
                for part in range(across):
                    lanes = range(part * v.lanes, (part + 1) * v.lanes)
                    neighbours = [lane // across + lane % across * v.lanes for lane in lanes]
                    v.store(chosen(builder, sums[0], sums[-1], neighbours), v.at(start, part * v.bytes))
                v.prefetch_to_write(builder.add(start, further))
        count = builder.load(taken)
        return reduce(builder.add, (builder.sext(builder.extract_element(count, WORD(i)), INT) for i in range(v.lanes)))

    return types.int64(window, vector, shape, *[types.int64] * 7), generate


def _taken(v: Vectors, windows: list[tuple[Any, Any]], here: Any, taken: Any) -> Any:
    """The sum of those gradients whose index points here, in order; so many are added to those in `taken`."""
    builder, sum_ = v.builder, v.constant(0)
    for index, gradient in windows:
        points = builder.icmp_signed("==", index, here)
        builder.store(builder.sub(builder.load(taken), builder.sext(points, here.type)), taken)
        sum_ = builder.fadd(sum_, builder.select(points, gradient, v.constant(0)))
    return sum_
