"""Terms of a fully-connected layer."""

from ..seen import Seen, one
from ..terms import Block, Index, grid, read


def y(seen: Seen, index: Index) -> list[Block]:
    """y[n,k] = b[k] + Σ_c w[k,c] · x[n,c]"""
    n, k = index
    w, x = seen["weight"], seen["x"]
    of_w, of_x = grid([k], range(w.shape[1])), grid([n], range(w.shape[1]))
    return [
        Block((seen.parameter("bias", one((k,)), read(seen["bias"], one((k,)))),)),
        Block((seen.parameter("weight", of_w, read(w, of_w)), seen.x(of_x, read(x, of_x)))),
    ]


def dx(seen: Seen, index: Index) -> list[Block]:
    """dx[n,c] = Σ_k dy[n,k] · w[k,c]"""
    n, c = index
    w, dy = seen["weight"], seen["dy"]
    of_dy, of_w = grid([n], range(len(w))), grid(range(len(w)), [c])
    return [Block((seen.dy(of_dy, read(dy, of_dy)), seen.parameter("weight", of_w, read(w, of_w))))]


def dweight(seen: Seen, index: Index) -> list[Block]:
    """dw[k,c] = Σ_n dy[n,k] · x[n,c]"""
    k, c = index
    dy, x = seen["dy"], seen["x"]
    of_dy, of_x = grid(range(len(dy)), [k]), grid(range(len(x)), [c])
    return [Block((seen.dy(of_dy, read(dy, of_dy)), seen.x(of_x, read(x, of_x))))]


def dbias(seen: Seen, index: Index) -> list[Block]:
    """db[k] = Σ_n dy[n,k]"""
    of_dy = grid(range(len(seen["dy"])), [index[0]])
    return [Block((seen.dy(of_dy, read(seen["dy"], of_dy)),))]
