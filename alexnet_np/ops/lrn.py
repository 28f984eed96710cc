"""Local response normalisation across channels, and its conventions.

    scale[c] = k + a · Σ_{j ∈ window(c)} x[j]²        y[c] = x[c] · scale[c]^(−β)

The window of channel c is c − ⌊size/2⌋ … c + ⌊size/2⌋, cut at the ends of the channels, or of c's group where
groups > 1 (the paper's towers normalise apart). Here implementations disagree, and each choice is a keyword:

- the paper: a = α, k = 2;
- Caffe, PyTorch, ONNX and the authors' code: a = α / size (`alpha_over_size=True`); k = 1 in Caffe and PyTorch.

The division is by `size` even where the window is cut. Source: Krizhevsky et al. 2012, §3.3.
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


@op(returns=("y", "scale"), backward=("lrn_backward",), analytic=True)
def lrn(
    x: Array,
    *,
    size: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    alpha_over_size: bool = False,
    groups: int = 1,
) -> tuple[Array, Array]:
    """Normalise x (N, C, H, W): y and scale, both of x's shape. scale, not its power, is what the backward needs.

    Raises ValueError for an even size, groups that do not divide C, or k, alpha, beta that are not finite or allow a
    scale that is not positive; TypeError for an unknown dtype.
    """
    a = alpha / size if alpha_over_size else alpha
    scale = np.empty_like(x)
    for c in range(x.shape[1]):
        scale[:, c] = k + a * (x[:, neighbours(c, x.shape[1], size, groups)] ** 2).sum(axis=1)
    return x * scale**-beta, scale


def neighbours(c: int, channels: int, size: int, groups: int) -> slice:
    """The channels in the window of channel c; `j in neighbours(c)` exactly when `c in neighbours(j)`."""
    width = channels // groups
    first = c // width * width
    return slice(max(c - size // 2, first), min(c + size // 2 + 1, first + width))


# x[c] stands in its own y, and in the scale of every channel j whose window holds c, that is j ∈ window(c):
#
#   ∂y[j]/∂x[c] = [j = c] · scale[c]^(−β)  −  2·a·β · x[j] · scale[j]^(−β−1) · x[c]
#
#   dx[c] = dy[c] · scale[c]^(−β)  −  2·a·β · x[c] · Σ_{j ∈ window(c)} dy[j] · x[j] · scale[j]^(−β−1)
#
# With the paper's α the second, cross-channel, term is some 1e-4 of the first: a test with a usual tolerance and the
# usual α does not see whether it is there.


@op(returns=("dx",))
def lrn_backward(
    dy: Array,
    x: Array,
    scale: Array,
    *,
    size: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    alpha_over_size: bool = False,
    groups: int = 1,
) -> Array:
    """Gradient dx from dy, the forward's input x and its scale, all of one shape; the forward's keywords."""
    a = alpha / size if alpha_over_size else alpha
    ratio = dy * x * scale ** (-beta - 1)
    dx = dy * scale**-beta
    for c in range(x.shape[1]):
        dx[:, c] -= 2 * a * beta * x[:, c] * ratio[:, neighbours(c, x.shape[1], size, groups)].sum(axis=1)
    return dx


def _check(x: Spec, size: int, k: float, alpha: float, beta: float, alpha_over_size: bool, groups: int) -> None:
    checks.rank("x", x, "N C H W")
    checks.count("size", size)
    if size % 2 == 0:
        raise ValueError(f"size must be odd, so that the window has a middle, got {size}")
    checks.number("k", k, 0)
    checks.number("alpha", alpha, 0)
    checks.number("beta", beta, 0)
    if k == 0:
        raise ValueError("k must be above 0: with k=0 a channel of zeros divides by zero")
    if not isinstance(alpha_over_size, bool):
        raise ValueError(f"alpha_over_size must be True or False, got {alpha_over_size!r}")
    checks.divides(groups, "x", x.shape[1])


@lrn.define_infer
def _(x: Spec, **keywords: Any) -> tuple[Spec, ...]:
    checks.floats(x=x)
    _check(x, **keywords)
    return x, Spec(x.shape, accumulator(x.dtype), x.device)


@lrn_backward.define_infer
def _(dy: Spec, x: Spec, scale: Spec, **keywords: Any) -> tuple[Spec, ...]:
    checks.floats(dy=dy, x=x, scale=scale)
    _check(x, **keywords)
    checks.shape("dy", dy, x.shape, "as x")
    checks.shape("scale", scale, x.shape, "as x")
    return (x,)


# A power counts as one operation.


@lrn.define_flops
def _(x: Spec, *, size: int, **_: Any) -> int:
    return prod(x.shape) * (size + 5)


@lrn_backward.define_flops
def _(dy: Spec, x: Spec, scale: Spec, *, size: int, **_: Any) -> int:
    return prod(x.shape) * (size + 7)


@lrn.define_cases
def _(draw: Any) -> Iterator[tuple[str, dict[str, Array], dict[str, Any]]]:
    yield "the paper's", {"x": draw(2, 8, 3, 3)}, {}
    yield "large alpha", {"x": draw(2, 9, 4, 3)}, {"k": 1.0, "alpha": 1.0}
    yield "large alpha, two towers", {"x": draw(2, 12, 3, 2)}, {"alpha": 1.0, "groups": 2}
    yield "divided by the size", {"x": draw(3, 7, 2, 5)}, {"k": 1.0, "alpha": 2.0, "alpha_over_size": True}
    yield "window of 3, odd power", {"x": draw(1, 6, 3, 3)}, {"size": 3, "alpha": 0.7, "beta": 0.6}
    yield "window beyond the channels", {"x": draw(2, 3, 4, 4)}, {"size": 9, "alpha": 1.0, "k": 0.5}
    yield "one channel", {"x": draw(2, 1, 3, 3)}, {"alpha": 1.0}
    yield "groups of one channel", {"x": draw(1, 4, 3, 3)}, {"alpha": 1.0, "groups": 4}
    yield "window of 1", {"x": draw(2, 4, 2, 2)}, {"size": 1, "alpha": 1.0}
    yield "many channels, two towers", {"x": draw(1, 40, 2, 3)}, {"alpha": 1.0, "groups": 2}
    yield "many images", {"x": draw(37, 6, 3, 3)}, {"alpha": 0.5}
    yield "many pixels", {"x": draw(1, 5, 7, 9)}, {"alpha": 1.0}
