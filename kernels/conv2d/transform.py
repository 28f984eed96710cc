"""L X Lᵀ for a known matrix L and a grid of vectors X, as code without a loop over the grid.

Winograd's convolution goes through six such transforms. One side of each is a window of a map (channels last), of which
a part may lie outside; the other side is one element of n × n matrices that lie far apart.

    from       to             L      what is done on the way
    input      d → V          Bᵀ
    weights    w → U          G
    output     M → y          Aᵀ     bias is added; ReLU
    dy         dy → dM        A      zero where the ReLU's output y is not positive
    dx         dV → dx        B      added to what is there, since neighbouring tiles overlap
    dw         dU → dw        Gᵀ

The backward ones are the adjoints of the forward ones: a product of matrices has its transposes in reverse order.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from ..panel import LINE
from ..static import StaticType
from ..vector import Vectors, each, integer
from .tiles import matrices


class _Kind(NamedTuple):
    matrix: str  # of Matrices
    transposed: bool
    from_map: bool  # loads from a map, else it stores to one


KINDS = {
    "input": _Kind("input", False, True),
    "weights": _Kind("weights", False, True),
    "output": _Kind("output", False, False),
    "dy": _Kind("output", True, True),
    "dx": _Kind("input", True, False),
    "dw": _Kind("weights", True, False),
}


@intrinsic
def transform(
    _: Any,
    kind: Any,
    tile: Any,
    source: Any,
    target: Any,
    map_row: Any,
    map_column: Any,
    point: Any,
    top: Any,
    left: Any,
    height: Any,
    width: Any,
    vectors: Any,
    spare: Any,
    extra: Any,
) -> Any:
    """One tile through the transform `kind`, for so many `vectors` of channels.

    tile: Static(m, r, itemsize, lanes, relu). source, target: addresses. map_row,
    map_column: bytes from one row, one pixel of the map to the next; point: from one of the n × n matrices to the next.
    top, left: where the window begins in the map of height × width pixels. spare: address of zeros, read for what lies
    outside (or of anything, where it is written instead). extra: address of the bias (output), of y (dy).
    """
    if not isinstance(tile, StaticType) or not isinstance(kind, types.StringLiteral):
        return None
    m, r, itemsize, lanes, with_relu = tile.value
    name = kind.literal_value
    form = KINDS[name]
    L = getattr(matrices(m, r), form.matrix)
    L = L.T if form.transposed else L

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        _, _, source, target, map_row, map_column, point, top, left, height, width, vectors, spare, extra = arguments
        v = Vectors(builder, itemsize, lanes)
        to, of = L.shape
        side = of if form.from_map else to
        rows = [_place(builder, top, i, height, map_row) for i in range(side)]
        columns = [_place(builder, left, i, width, map_column) for i in range(side)]
        inside = [[builder.and_(r_in, c_in) for _, c_in in columns] for _, r_in in rows]
        offsets = [[builder.add(r_at, c_at) for c_at, _ in columns] for r_at, _ in rows]

        def map_places(base: Any, otherwise: Any) -> list[list[Any]]:
            return [
                [builder.select(inside[i][j], builder.add(base, offsets[i][j]), otherwise) for j in range(side)]
                for i in range(side)
            ]

        window = map_places(source if form.from_map else target, spare)
        masks = map_places(extra, spare) if name == "dy" and with_relu else None
        with each(builder, integer(0), vectors) as index:
            offset = builder.mul(index, integer(v.bytes))

            def far(base: Any, size: int) -> list[list[Any]]:
                start = builder.add(base, offset)
                return [
                    [builder.add(start, builder.mul(point, integer(i * size + j))) for j in range(size)]
                    for i in range(size)
                ]

            near = [[builder.add(place, offset) for place in row] for row in window]
            sources = near if form.from_map else far(source, of)
            if not form.from_map:  # n² streams are more than a processor follows by itself
                for row in sources:
                    for place in row:
                        v.prefetch(v.at(place, LINE))
            X = [[v.load(place) for place in row] for row in sources]
            if masks is not None:
                X = [
                    [v.relu_backward(X[i][j], v.load(builder.add(masks[i][j], offset))) for j in range(of)]
                    for i in range(of)
                ]
            Y = _both_sides(v, L, X)
            if name == "output":
                bias = v.load(builder.add(extra, offset))
                Y = [[builder.fadd(y, bias) for y in row] for row in Y]
                if with_relu:
                    Y = [[v.relu(y) for y in row] for row in Y]
            targets = far(target, to) if form.from_map else near
            if form.from_map:  # n² lines to be written lie far apart: without this each store would wait for its own
                for row in targets:
                    for place in row:
                        v.prefetch_to_write(v.at(place, v.bytes))
            for i in range(to):
                for j in range(to):
                    y = builder.fadd(Y[i][j], v.load(targets[i][j])) if name == "dx" else Y[i][j]
                    v.store(y, targets[i][j])
        return context.get_dummy_value()

    return types.void(kind, tile, *[types.int64] * 12), generate


def _place(builder: Any, start: Any, i: int, size: Any, stride: Any) -> tuple[Any, Any]:
    """Offset of the i-th row or column of a window in its map, and whether it lies inside."""
    index = builder.add(start, integer(i))
    return builder.mul(index, stride), builder.icmp_unsigned("<", index, size)


def _both_sides(v: Vectors, L: Any, X: list[list[Any]]) -> list[list[Any]]:
    """The code of L X Lᵀ: first every column, then every row."""
    to, of = L.shape
    columns = [_product(v, L, [X[i][j] for i in range(of)]) for j in range(of)]
    return [_product(v, L, [columns[j][i] for j in range(of)]) for i in range(to)]


def _product(v: Vectors, L: Any, xs: list[Any]) -> list[Any]:
    """The code of L·xs. Rows for the points p and −p differ in signs only: their even and odd halves are shared."""
    out: list[Any] = [None] * len(L)
    for i, row in enumerate(L):
        if out[i] is not None:
            continue
        partner = next((j for j in range(i + 1, len(L)) if out[j] is None and _mirrors(row, L[j])), None)
        if partner is None:
            out[i] = v.dot(row, xs)
        else:
            same = row == L[partner]
            even, odd = v.dot(np.where(same, row, 0), xs), v.dot(np.where(same, 0, row), xs)
            out[i], out[partner] = v.builder.fadd(even, odd), v.builder.fsub(even, odd)
    return out


def _mirrors(a: Any, b: Any) -> bool:
    same = (a == b) & (a != 0)
    return bool((np.abs(a) == np.abs(b)).all() and same.any() and (a != b).any())
