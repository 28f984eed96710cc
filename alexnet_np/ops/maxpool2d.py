"""Max-pooling: the largest element of every window, and where it stands.

    y[n,c,p,q] = max over the window of x[n,c];   index[n,c,p,q] = h·W + w of the first such element

The first in row-major order wins a tie. Padding counts as −∞ and never wins. A NaN wins over every number, so that
it is not lost. Overlapping windows (size 3, stride 2) are the paper's §3.4.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from ..backend import Array
from ..dispatch import op
from ..operation import Spec
from . import checks
from .windows import Pair, Sides, output_size, pair, sides

CANONICAL = {"size": pair, "stride": pair, "padding": sides}


@op(returns=("y", "index"), backward=("maxpool2d_backward",), canonical=CANONICAL)
def maxpool2d(x: Array, *, size: Any, stride: Any, padding: Any = 0) -> tuple[Array, Array]:
    """Pool x (N, C, H, W): y (N, C, P, Q) and index (N, C, P, Q), int32, of the winner within its plane.

    size, stride: int or pair. padding: int, pair, or ((top, bottom), (left, right)), each side below the size.
    Raises ValueError where the windows do not fit, TypeError for an unknown dtype.
    """
    size, stride, padding = pair("size", size), pair("stride", stride), sides("padding", padding)
    N, C, H, W = x.shape
    P, Q = output_size((H, W), size, stride, padding)
    y, index = np.empty((N, C, P, Q), x.dtype), np.empty((N, C, P, Q), np.int32)
    for n, c, p, q in np.ndindex(N, C, P, Q):
        rows, columns = inside(p, size[0], stride[0], padding[0][0], H), inside(q, size[1], stride[1], padding[1][0], W)
        seen = x[n, c, rows, columns]
        h, w = np.unravel_index(np.argmax(seen), seen.shape)  # argmax takes the first, and NaN above all
        y[n, c, p, q] = seen[h, w]
        index[n, c, p, q] = (rows.start + h) * W + columns.start + w
    return y, index


def inside(p: int, size: int, stride: int, before: int, length: int) -> slice:
    """The part of window p along one axis that lies in the plane."""
    start = p * stride - before
    return slice(max(start, 0), min(start + size, length))


# y copies one element of x, so the whole of dy goes to that element; where windows overlap, it may win several.
#
#   dx[n,c,h,w] = Σ_{p,q : index[n,c,p,q] = h·W + w} dy[n,c,p,q]
#
# At a tie this is one valid subgradient: the shares of the winners, 1 and 0, sum to one.


@op(returns=("dx",), canonical=CANONICAL)
def maxpool2d_backward(
    dy: Array, index: Array, *, x_shape: tuple[int, ...], size: Any, stride: Any, padding: Any = 0
) -> Array:
    """Gradient dx of shape `x_shape` from dy and the forward's index (both (N, C, P, Q)); the forward's keywords."""
    dx = np.zeros(x_shape, dy.dtype)
    for n, c, p, q in np.ndindex(dy.shape):
        dx[n, c].flat[index[n, c, p, q]] += dy[n, c, p, q]
    return dx


def _output(x: tuple[int, ...], size: Pair, stride: Pair, padding: Sides) -> tuple[int, ...]:
    if any(side >= length for length, axis in zip(size, padding, strict=True) for side in axis):
        raise ValueError(f"padding {padding} must stay below the size {size}: a window of padding alone has no maximum")
    return (*x[:2], *output_size(x[2:], size, stride, padding))


@maxpool2d.define_infer
def _(x: Spec, *, size: Pair, stride: Pair, padding: Sides) -> tuple[Spec, ...]:
    checks.floats(x=x)
    checks.rank("x", x, "N C H W")
    y = _output(x.shape, size, stride, padding)
    if prod(x.shape[2:]) > np.iinfo(np.int32).max:
        raise ValueError(f"x has planes of {x.shape[2:]}, beyond what the int32 index can number")
    return Spec(y, x.dtype, x.device), Spec(y, np.dtype(np.int32), x.device)


@maxpool2d_backward.define_infer
def _(dy: Spec, index: Spec, *, x_shape: Any, size: Pair, stride: Pair, padding: Sides) -> tuple[Spec, ...]:
    checks.floats(dy=dy)
    x_shape = checks.four_sides("x_shape", x_shape)
    checks.shape("dy", dy, _output(x_shape, size, stride, padding), f"the forward's y for x {x_shape}")
    checks.shape("index", index, dy.shape, "as dy")
    if index.dtype != np.int32:
        raise TypeError(f"index has dtype {index.dtype}, expected the int32 that maxpool2d returns")
    return (Spec(x_shape, dy.dtype, dy.device),)


@maxpool2d_backward.define_check
def _(index: Array, x_shape: Any) -> None:
    checks.below("index", index, x_shape[2] * x_shape[3], "a place in its plane")


@maxpool2d.define_flops
def _(x: Spec, *, size: Pair, stride: Pair, padding: Sides) -> int:
    return prod(_output(x.shape, size, stride, padding)) * (prod(size) - 1)


@maxpool2d_backward.define_flops
def _(dy: Spec, index: Spec, **_: Any) -> int:
    return prod(dy.shape)


@maxpool2d.define_cases
def _(draw: Any) -> Iterator[tuple[str, dict[str, Array], dict[str, Any]]]:
    yield "the paper's", {"x": draw(2, 3, 7, 7)}, {"size": 3, "stride": 2}
    yield "one of everything", {"x": draw(1, 1, 1, 1)}, {"size": 1, "stride": 1}
    yield "not overlapping", {"x": draw(2, 2, 6, 8)}, {"size": 2, "stride": 2}
    yield "overlapping a lot", {"x": draw(2, 3, 6, 5)}, {"size": (3, 4), "stride": 1}
    yield "a last window left out", {"x": draw(1, 2, 8, 9)}, {"size": 3, "stride": (2, 3)}
    yield "padded", {"x": draw(2, 2, 6, 5)}, {"size": 3, "stride": 2, "padding": 1}
    yield "padded on two sides", {"x": draw(2, 2, 6, 5)}, {"size": 3, "stride": 2, "padding": ((0, 2), (1, 0))}
    yield "ties", {"x": draw(3, 2, 9, 9, values=3)}, {"size": 3, "stride": 2}
    yield "padded, all negative", {"x": -abs(draw(2, 2, 5, 5)) - 1}, {"size": 3, "stride": 2, "padding": 1}
    strange = draw(2, 2, 7, 7, values=4)
    strange[0, 0, 2:5, 2:5], strange[0, 1, 3, 3], strange[1, 0, 0, 6], strange[1, 1, :4] = (
        -np.inf,
        np.nan,
        np.inf,
        -np.inf,
    )
    yield "infinite and NaN", {"x": strange}, {"size": 3, "stride": 2, "padding": 1}
    yield "gaps between windows", {"x": draw(2, 2, 9, 9)}, {"size": 2, "stride": 4}
