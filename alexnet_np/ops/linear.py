"""The fully-connected layer: y = x wᵀ + b, with x (N, C), w (K, C), b (K,), y (N, K)."""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from ..backend import Array
from ..dispatch import op
from ..operation import Spec
from ..precision import accumulator
from . import checks


@op(returns=("y",), backward=("linear_backward_data", "linear_backward_weights"), analytic=True)
def linear(x: Array, w: Array, b: Array) -> Array:
    """y[n,k] = b[k] + Σ_c w[k,c] · x[n,c]. Raises ValueError where shapes do not fit, TypeError for mixed dtypes."""
    y = np.tile(b, (len(x), 1)).astype(np.result_type(x, w, b))
    for c in range(x.shape[1]):
        y += x[:, c, None] * w[:, c]
    return y


# y[n,k] depends on x[n,c] by w[k,c], on w[k,c] by x[n,c], on b[k] by 1:
#
#   dx[n,c] = Σ_k dy[n,k] · w[k,c]      dw[k,c] = Σ_n dy[n,k] · x[n,c]      db[k] = Σ_n dy[n,k]


@op(returns=("dx",))
def linear_backward_data(dy: Array, w: Array) -> Array:
    """Gradient dx (N, C) from dy (N, K) and the weights w (K, C)."""
    dx = np.zeros((len(dy), w.shape[1]), np.result_type(dy, w))
    for k in range(len(w)):
        dx += dy[:, k, None] * w[k]
    return dx


@op(returns=("dw", "db"))
def linear_backward_weights(dy: Array, x: Array) -> tuple[Array, Array]:
    """Gradients dw (K, C) and db (K,) from dy (N, K) and the forward's input x (N, C)."""
    dw = np.zeros((dy.shape[1], x.shape[1]), np.result_type(dy, x))
    for n in range(len(x)):
        dw += dy[n, :, None] * x[n]
    return dw, dy.sum(axis=0)


def linear_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """All three gradients, dx, dw, db, by the two operations above; raises what they raise."""
    dw, db = linear_backward_weights(dy, x)
    return linear_backward_data(dy, w), dw, db


@linear.define_infer
def _(x: Spec, w: Spec, b: Spec) -> tuple[Spec, ...]:
    checks.floats(x=x, w=w, b=b)
    checks.rank("x", x, "N C")
    checks.rank("w", w, "K C")
    checks.shape("w", w, (w.shape[0], x.shape[1]), f"x has {x.shape[1]} features")
    checks.shape("b", b, w.shape[:1], "one bias for each row of w")
    return (Spec((x.shape[0], w.shape[0]), x.dtype, x.device),)


@linear_backward_data.define_infer
def _(dy: Spec, w: Spec) -> tuple[Spec, ...]:
    checks.floats(dy=dy, w=w)
    checks.rank("dy", dy, "N K")
    checks.rank("w", w, "K C")
    checks.shape("dy", dy, (dy.shape[0], w.shape[0]), f"w has {w.shape[0]} rows")
    return (Spec((dy.shape[0], w.shape[1]), dy.dtype, dy.device),)


@linear_backward_weights.define_infer
def _(dy: Spec, x: Spec) -> tuple[Spec, ...]:
    checks.floats(dy=dy, x=x)
    checks.rank("dy", dy, "N K")
    checks.rank("x", x, "N C")
    checks.shape("dy", dy, (x.shape[0], dy.shape[1]), f"x has {x.shape[0]} rows")
    dw = Spec((dy.shape[1], x.shape[1]), accumulator(dy.dtype), dy.device)
    return dw, Spec(dw.shape[:1], dw.dtype, dy.device)


@linear.define_flops
def _(x: Spec, w: Spec, b: Spec) -> int:
    return 2 * x.shape[0] * prod(w.shape)


@linear_backward_data.define_flops
def _(dy: Spec, w: Spec) -> int:
    return 2 * dy.shape[0] * prod(w.shape)


@linear_backward_weights.define_flops
def _(dy: Spec, x: Spec) -> int:
    return 2 * prod(dy.shape) * x.shape[1]


@linear.define_cases
def _(draw: Any) -> Iterator[tuple[str, dict[str, Array], dict[str, Any]]]:
    yield "plain", {"x": draw(4, 7), "w": draw(5, 7), "b": draw(5)}, {}
    yield "one of everything", {"x": draw(1, 1), "w": draw(1, 1), "b": draw(1)}, {}
    yield "wide", {"x": draw(3, 130), "w": draw(9, 130), "b": draw(9)}, {}
    yield "one image", {"x": draw(1, 33), "w": draw(17, 33), "b": draw(17)}, {}
