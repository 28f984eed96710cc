"""Rectified linear unit: y = max(x, 0).

NaN stays NaN. At zero, where no derivative exists, the backward takes 0, so the output alone tells where it flows.
Source: Krizhevsky et al. 2012, §3.1.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from ..backend import Array
from ..dispatch import op
from ..operation import Spec
from . import checks


@op(returns=("y",), backward=("relu_backward",))
def relu(x: Array) -> Array:
    """y = max(x, 0) for x of any shape. Raises TypeError for an unknown dtype."""
    return np.maximum(x, 0)


@op(returns=("dx",))
def relu_backward(dy: Array, y: Array) -> Array:
    """dx = dy where y > 0, else 0; dy and the forward's output y of one shape."""
    return np.where(y > 0, dy, np.zeros_like(dy))


@relu.define_infer
def _(x: Spec) -> tuple[Spec, ...]:
    checks.floats(x=x)
    return (x,)


@relu_backward.define_infer
def _(dy: Spec, y: Spec) -> tuple[Spec, ...]:
    checks.floats(dy=dy, y=y)
    checks.shape("dy", dy, y.shape, "as y")
    return (y,)


@relu.define_flops
def _(x: Spec) -> int:
    return prod(x.shape)


@relu_backward.define_flops
def _(dy: Spec, y: Spec) -> int:
    return prod(y.shape)


@relu.define_cases
def _(draw: Any) -> Iterator[tuple[str, dict[str, Array], dict[str, Any]]]:
    yield "images", {"x": draw(2, 3, 5, 7)}, {}
    yield "a row", {"x": draw(1, 1)}, {}
    yield "three beyond a multiple of four", {"x": draw(5, 7)}, {}
    yield "infinite and NaN", {"x": np.array([np.inf, -np.inf, np.nan, 1, -1, 0], draw.dtype)}, {}
    yield "exact zeros", {"x": draw(4, 9, values=3)}, {}
