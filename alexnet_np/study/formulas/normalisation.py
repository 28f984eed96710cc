"""Terms of local response normalisation: the element itself, and the channels whose windows hold it.

scale[c] = k + a · Σ_{j ∈ window(c)} x[j]² is made from x; a is α, or α / size.

"""

import numpy as np

from ...backend import Array
from ...ops.lrn import neighbours
from ..seen import Seen, one
from ..terms import Block, Column, Index, constants, read


def _scales(seen: Seen, at: Array) -> Array:
    """scale at so many places (T, 4), from x."""
    options, x = seen.options, seen["x"]
    a = _a(seen)
    sums = [
        (x[n, neighbours(c, x.shape[1], options["size"], options["groups"]), h, w].astype(np.float64) ** 2).sum()
        for n, c, h, w in at
    ]
    return options["k"] + a * np.array(sums)


def _a(seen: Seen) -> float:
    options = seen.options
    return float(options["alpha"] / options["size"] if options["alpha_over_size"] else options["alpha"])


def y(seen: Seen, index: Index) -> list[Block]:
    """y[c] = x[c] · scale[c]^(−β)"""
    at = one(index)
    power = Column("scale^−β", _scales(seen, at) ** -seen.options["beta"], at)
    return [Block((seen.x(at, read(seen["x"], at)), power))]


def dx(seen: Seen, index: Index) -> list[Block]:
    """dx[c] = dy[c] · scale[c]^(−β) + Σ_{j ∈ window(c)} (−2·a·β) · dy[j] · x[j] · scale[j]^(−β−1) · x[c]"""
    n, c, h, w = index
    x, dy, beta, at = seen["x"], seen["dy"], seen.options["beta"], one(index)
    window = neighbours(c, x.shape[1], seen.options["size"], seen.options["groups"])
    of = np.array([(n, j, h, w) for j in range(window.start, window.stop)], np.int64)
    again = np.repeat(at, len(of), axis=0)
    return [
        Block((seen.dy(at, read(dy, at)), Column("scale^−β", _scales(seen, at) ** -beta, at))),
        Block(
            (
                constants("−2·a·β", -2 * _a(seen) * beta, len(of)),
                seen.dy(of, read(dy, of)),
                seen.x(of, read(x, of)),
                Column("scale^(−β−1)", _scales(seen, of) ** (-beta - 1), of),
                seen.x(again, read(x, again)),
            )
        ),
    ]
