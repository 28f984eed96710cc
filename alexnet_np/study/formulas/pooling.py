"""Terms of max-pooling: every element of the window, of which one won; every window that holds the element.

The first of the largest wins, and a NaN wins over every number. Padding counts as −∞, so that it never wins, and is not
listed.

"""

import numpy as np

from ...backend import Array
from ...ops.maxpool2d import inside
from ...ops.windows import Pair, pair, sides
from ..seen import Seen
from ..terms import Block, Column, Index, grid, read


def _window(seen: Seen, p: int, q: int) -> tuple[slice, slice]:
    """Rows and columns of x that window (p, q) holds."""
    size, stride = pair("size", seen.options["size"]), pair("stride", seen.options["stride"])
    (top, _), (left, _) = sides("padding", seen.options["padding"])
    height, width = seen["x"].shape[2:]
    return inside(p, size[0], stride[0], top, height), inside(q, size[1], stride[1], left, width)


def _winner(seen: Seen, n: int, c: int, p: int, q: int) -> Pair:
    """The place of the first of the largest elements in a window; a NaN is above all."""
    rows, columns = _window(seen, p, q)
    window = seen["x"][n, c, rows, columns]
    h, w = np.unravel_index(int(np.argmax(window)), window.shape)
    return rows.start + int(h), columns.start + int(w)


def y(seen: Seen, index: Index) -> list[Block]:
    """y[n,c,p,q] = Σ_{h,w in the window} x[n,c,h,w] · [it won]"""
    n, c, p, q = index
    rows, columns = _window(seen, p, q)
    at = grid([n], [c], range(rows.start, rows.stop), range(columns.start, columns.stop))
    won = (at[:, 2:] == _winner(seen, n, c, p, q)).all(axis=1)
    return [Block((seen.x(at, read(seen["x"], at)), _choice(won)))]


def dx(seen: Seen, index: Index) -> list[Block]:
    """dx[n,c,h,w] = Σ_{p,q whose window holds (h,w)} dy[n,c,p,q] · [(h,w) won there]"""
    n, c, h, w = index
    P, Q = seen["dy"].shape[2:]
    windows = [
        (n, c, p, q)
        for p in range(P)
        for q in range(Q)
        if all(part.start <= i < part.stop for part, i in zip(_window(seen, p, q), (h, w), strict=True))
    ]
    at = np.array(windows, np.int64).reshape(-1, 4)
    won = np.array([_winner(seen, *window) == (h, w) for window in windows], bool)
    return [Block((seen.dy(at, read(seen["dy"], at)), _choice(won)))]


def _choice(won: Array) -> Column:
    return Column("won", won.astype(np.float64), choice=True)
