"""Terms of a convolution: one for each weight that takes part, and for each place where it does.

Places of x are those in the image: negative ones, and those beyond it, are padding, whose x̂ is 0. g(k) is the group of
output channel k, top and left the padding before the first row and column.

"""

import numpy as np

from ...ops.conv2d import channel
from ...ops.windows import Pair, pair, sides
from ..seen import Seen, one
from ..terms import Block, Index, grid, read


def _windows(seen: Seen) -> tuple[Pair, Pair, int]:
    """Stride, (top, left) and groups."""
    padding = sides("padding", seen.options["padding"])
    return pair("stride", seen.options["stride"]), (padding[0][0], padding[1][0]), seen.options["groups"]


def y(seen: Seen, index: Index) -> list[Block]:
    """y[n,k,p,q] = b[k] + Σ_{c,r,s} w[k,c,r,s] · x̂[n, g(k)·C/G + c, p·stride + r − top, q·stride + s − left]"""
    n, k, p, q = index
    (down, across), (top, left), groups = _windows(seen)
    w, x, b = seen["weight"], seen["x"], seen["bias"]
    taps = grid(range(w.shape[1]), range(w.shape[2]), range(w.shape[3]))
    c, r, s = taps.T
    of_w = np.column_stack([np.full(len(taps), k), taps])
    first = channel(k, 0, w.shape, groups)
    of_x = np.column_stack([np.full(len(taps), n), first + c, p * down + r - top, q * across + s - left])
    return [
        Block((seen.parameter("bias", one((k,)), read(b, one((k,)))),)),
        Block((seen.parameter("weight", of_w, read(w, of_w)), seen.x(of_x, read(x, of_x)))),
    ]


def dx(seen: Seen, index: Index) -> list[Block]:
    """dx[n,c,h,w] = Σ_{k,r,s} w[k,c mod C/G,r,s] · dy[n,k,p,q], p·stride + r = h + top, q·stride + s = w + left"""
    n, c, h, column = index
    (down, across), (top, left), groups = _windows(seen)
    w, dy = seen["weight"], seen["dy"]
    K, width, R, S = w.shape
    per_group = K // groups
    k = np.arange(c // width * per_group, (c // width + 1) * per_group)
    rows = [(r, (h + top - r) // down) for r in range(R) if (h + top - r) % down == 0]
    columns = [(s, (column + left - s) // across) for s in range(S) if (column + left - s) % across == 0]
    rows = [(r, p) for r, p in rows if 0 <= p < dy.shape[2]]
    columns = [(s, q) for s, q in columns if 0 <= q < dy.shape[3]]
    at = np.array([(each, r, s, p, q) for each in k for r, p in rows for s, q in columns], np.int64).reshape(-1, 5)
    filters, r, s, p, q = at.T
    of_w = np.column_stack([filters, np.full(len(at), c % width), r, s])
    of_dy = np.column_stack([np.full(len(at), n), filters, p, q])
    return [Block((seen.parameter("weight", of_w, read(w, of_w)), seen.dy(of_dy, read(dy, of_dy))))]


def dweight(seen: Seen, index: Index) -> list[Block]:
    """dw[k,c,r,s] = Σ_{n,p,q} dy[n,k,p,q] · x̂[n, g(k)·C/G + c, p·stride + r − top, q·stride + s − left]"""
    k, c, r, s = index
    (down, across), (top, left), groups = _windows(seen)
    x, dy = seen["x"], seen["dy"]
    at = grid(range(len(dy)), range(dy.shape[2]), range(dy.shape[3]))
    n, p, q = at.T
    from_ = np.full(len(at), channel(k, c, seen["weight"].shape, groups))
    of_dy = np.column_stack([n, np.full(len(at), k), p, q])
    of_x = np.column_stack([n, from_, p * down + r - top, q * across + s - left])
    return [Block((seen.dy(of_dy, read(dy, of_dy)), seen.x(of_x, read(x, of_x))))]


def dbias(seen: Seen, index: Index) -> list[Block]:
    """db[k] = Σ_{n,p,q} dy[n,k,p,q]"""
    dy = seen["dy"]
    n, p, q = grid(range(len(dy)), range(dy.shape[2]), range(dy.shape[3])).T
    of_dy = np.column_stack([n, np.full(len(n), index[0]), p, q])
    return [Block((seen.dy(of_dy, read(dy, of_dy)),))]
