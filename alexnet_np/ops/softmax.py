"""Softmax over the classes: y[n,k] = exp(x[n,k]) / Σ_j exp(x[n,j]), for x (N, K).

The largest logit of each row is subtracted first, which changes nothing in exact arithmetic and keeps exp in range.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from ..backend import Array
from ..dispatch import op
from ..operation import Spec
from ..precision import accumulator
from . import checks


@op(returns=("y",), backward=("softmax_backward",), analytic=True)
def softmax(x: Array) -> Array:
    """Probabilities y (N, K) of the logits x (N, K). Raises ValueError for another rank, TypeError for the dtype."""
    e = np.exp(x - x.real.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# ∂y[k]/∂x[j] = y[k] · ([k = j] − y[j]), hence dx[j] = y[j] · (dy[j] − Σ_k dy[k] · y[k]).


@op(returns=("dx",))
def softmax_backward(dy: Array, y: Array) -> Array:
    """Gradient dx from dy and the forward's output y, all (N, K)."""
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))


@softmax.define_infer
def _(x: Spec) -> tuple[Spec, ...]:
    checks.floats(x=x)
    checks.rank("x", x, "N K")
    return (Spec(x.shape, accumulator(x.dtype), x.device),)


@softmax_backward.define_infer
def _(dy: Spec, y: Spec) -> tuple[Spec, ...]:
    checks.floats(dy=dy, y=y)
    checks.rank("y", y, "N K")
    checks.shape("dy", dy, y.shape, "as y")
    return (y,)


# An exponential counts as one operation.


@softmax.define_flops
def _(x: Spec) -> int:
    return 4 * prod(x.shape)


@softmax_backward.define_flops
def _(dy: Spec, y: Spec) -> int:
    return 4 * prod(y.shape)


@softmax.define_cases
def _(draw: Any) -> Iterator[tuple[str, dict[str, Array], dict[str, Any]]]:
    yield "plain", {"x": draw(5, 10)}, {}
    yield "one class", {"x": draw(3, 1)}, {}
    yield "one image", {"x": draw(1, 1000)}, {}
    yield "logits of ±1e4", {"x": 1e4 * np.sign(draw(6, 5))}, {}
