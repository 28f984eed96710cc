"""Terms of softmax, and of the loss on its logits z."""

import numpy as np

from ...backend import Array
from ..seen import Seen, one
from ..terms import Block, Column, Index, constants, grid, read


def probabilities(logits: Array) -> Array:
    """Of a row of logits (K,), in float64."""
    with np.errstate(invalid="ignore"):
        e = np.exp(logits.astype(np.float64) - logits.max())
    return e / e.sum()


def y(seen: Seen, index: Index) -> list[Block]:
    """y[n,k] = exp(x[n,k] − max) · 1/Σ_j exp(x[n,j] − max)"""
    n, k = index
    row, at = seen["x"][n].astype(np.float64), one(index)
    with np.errstate(invalid="ignore"):
        e = np.exp(row - row.max())
    return [Block((Column("exp(x−max)", e[k : k + 1], at, (seen.before, "y")), constants("1/Σexp", 1 / e.sum(), 1)))]


def dx(seen: Seen, index: Index) -> list[Block]:
    """dx[n,k] = y[n,k] · dy[n,k] + Σ_j (−1) · y[n,k] · dy[n,j] · y[n,j]"""
    n, k = index
    p, dy, at = probabilities(seen["x"][n]), seen["dy"], one(index)
    others = grid([n], range(len(p)))
    return [
        Block((Column("y", p[k : k + 1], at, (seen.name, "y")), seen.dy(at, read(dy, at)))),
        Block(
            (
                constants("−1", -1.0, len(p)),
                Column("y", np.full(len(p), p[k]), np.repeat(at, len(p), axis=0), (seen.name, "y")),
                seen.dy(others, read(dy, others)),
                Column("y", p, others, (seen.name, "y")),
            )
        ),
    ]


def loss(logits: Array, labels: Array, last: str) -> list[Block]:
    """loss = Σ_n 1/N · (log Σ_j exp(z[n,j]) − z[n, label n])"""
    N = len(labels)
    with np.errstate(divide="ignore", invalid="ignore"):
        shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
        own = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(N), labels]
    at = np.stack([np.arange(N), labels], 1)
    return [Block((constants("1/N", 1 / N, N), Column("−log p", own, at, (last, "y"))))]


def dlogits(logits: Array, labels: Array, index: Index, last: str) -> list[Block]:
    """dz[n,k] = 1/N · p[n,k] + 1/N · (−1) · [k = label n] with p = softmax(z)"""
    n, k = index
    at, mean = one(index), constants("1/N", 1 / len(labels), 1)
    p = probabilities(logits[n])[k : k + 1]
    right = Column("label = k", np.array([float(labels[n] == k)]), at, choice=True)
    return [Block((mean, Column("p", p, at, (last, "y")))), Block((mean, constants("−1", -1.0, 1), right))]
