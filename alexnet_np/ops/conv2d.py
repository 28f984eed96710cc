"""Convolution: every output sees a window of its own group's input channels.

    y[n,k,p,q] = b[k] + Σ_{c,r,s} w[k,c,r,s] · x̂[n, g(k)·C/G + c, p·stride + r, q·stride + s]

x̂ is x with zeros around it, G the number of groups, g(k) = ⌊k·G/K⌋ the group of output channel k. Shapes:
x (N, C, H, W), w (K, C/G, R, S), b (K,), y (N, K, P, Q). As everywhere in deep learning this is a correlation.

Source: Krizhevsky et al. 2012, §3.5; groups are its two towers (conv2, conv4, conv5 see the maps of their own GPU).
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
from .windows import Pair, Sides, output_size, pad, pair, sides, unpad

CANONICAL = {"stride": pair, "padding": sides}


@op(
    returns=("y",),
    backward=("conv2d_backward_data", "conv2d_backward_weights"),
    canonical=CANONICAL,
    analytic=True,
)
def conv2d(x: Array, w: Array, b: Array, *, stride: Any = 1, padding: Any = 0, groups: int = 1) -> Array:
    """Convolve the images x (N, C, H, W) with the filters w (K, C/groups, R, S) and add b (K,): y (N, K, P, Q).

    stride: int or pair. padding with zeros: int, pair, or ((top, bottom), (left, right)).
    Raises ValueError where shapes, groups or windows do not fit, TypeError for mixed or unknown dtypes.
    """
    stride, padding = pair("stride", stride), sides("padding", padding)
    padded = pad(x, padding)
    y = np.empty((len(x), len(w), *output_size(x.shape[2:], w.shape[2:], stride, padding)), np.result_type(x, w, b))
    for k in range(len(w)):
        y[:, k] = b[k]
        for c, r, s in np.ndindex(w.shape[1:]):
            y[:, k] += w[k, c, r, s] * seen(padded, channel(k, c, w.shape, groups), r, s, y.shape[2:], stride)
    return y


def channel(k: int, c: int, w_shape: tuple[int, ...], groups: int) -> int:
    """The input channel that weight w[k, c] meets: channel c of k's group."""
    return k * groups // w_shape[0] * w_shape[1] + c


def seen(padded: Array, c: int, r: int, s: int, outputs: Pair, stride: Pair) -> Array:
    """What a weight at (r, s) sees of channel c for each output, a view (N, P, Q).

    Kernels have their own such function (windows.tap), so that no mistake is shared with what checks them.
    """
    last_row, last_column = (outputs[0] - 1) * stride[0] + r, (outputs[1] - 1) * stride[1] + s
    return padded[:, c, r : last_row + 1 : stride[0], s : last_column + 1 : stride[1]]


# Weight w[k,c,r,s] takes part in every y[n,k,p,q], by the element x̂ that it sees there; so by the chain rule
#
#   dx̂[n, c', p·stride + r, q·stride + s] += w[k,c,r,s] · dy[n,k,p,q]      for all k, r, s, p, q, with c' = g(k)·C/G + c
#   dw[k,c,r,s] = Σ_{n,p,q} dy[n,k,p,q] · x̂[n, c', p·stride + r, q·stride + s]
#   db[k]       = Σ_{n,p,q} dy[n,k,p,q]
#
# and dx is the part of dx̂ that is not padding.


@op(returns=("dx",), canonical=CANONICAL)
def conv2d_backward_data(
    dy: Array, w: Array, *, x_shape: tuple[int, ...], stride: Any = 1, padding: Any = 0, groups: int = 1
) -> Array:
    """Gradient dx of shape `x_shape` from dy (N, K, P, Q) and the filters w; the keywords are the forward's."""
    stride, padding = pair("stride", stride), sides("padding", padding)
    dx = pad(np.zeros(x_shape, np.result_type(dy, w)), padding)
    for k, c, r, s in np.ndindex(w.shape):
        dx_seen = seen(dx, channel(k, c, w.shape, groups), r, s, dy.shape[2:], stride)
        dx_seen += w[k, c, r, s] * dy[:, k]
    return np.ascontiguousarray(unpad(dx, padding))


@op(returns=("dw", "db"), canonical=CANONICAL)
def conv2d_backward_weights(
    dy: Array, x: Array, *, w_shape: tuple[int, ...], stride: Any = 1, padding: Any = 0, groups: int = 1
) -> tuple[Array, Array]:
    """Gradients dw of shape `w_shape` and db (K,) from dy (N, K, P, Q) and the images x; keywords as the forward's."""
    stride, padding = pair("stride", stride), sides("padding", padding)
    padded, dw = pad(x, padding), np.empty(w_shape, np.result_type(dy, x))
    for k, c, r, s in np.ndindex(w_shape):
        x_seen = seen(padded, channel(k, c, w_shape, groups), r, s, dy.shape[2:], stride)
        dw[k, c, r, s] = np.einsum("npq,npq->", dy[:, k], x_seen)
    return dw, dy.sum(axis=(0, 2, 3))


def conv2d_backward(
    dy: Array, x: Array, w: Array, *, stride: Any = 1, padding: Any = 0, groups: int = 1
) -> tuple[Array, Array, Array]:
    """All three gradients, dx, dw, db, by the two operations above; raises what they raise."""
    options = {"stride": stride, "padding": padding, "groups": groups}
    dw, db = conv2d_backward_weights(dy, x, w_shape=w.shape, **options)
    return conv2d_backward_data(dy, w, x_shape=x.shape, **options), dw, db


def _output(x: tuple[int, ...], w: tuple[int, ...], stride: Pair, padding: Sides, groups: int) -> tuple[int, ...]:
    """The shape of y from those of x and w, or an error that says what does not fit."""
    checks.divides(groups, "x", x[1])
    if w[0] % groups:
        raise ValueError(f"w has {w[0]} filters, which groups={groups} does not divide")
    if w[1] * groups != x[1]:
        expected = f"({w[0]}, {x[1] // groups}, R, S)"
        raise ValueError(f"w has shape {w}, expected {expected}: x has {x[1]} channels in {groups} group(s)")
    return (x[0], w[0], *output_size(x[2:], (w[2], w[3]), stride, padding))


@conv2d.define_infer
def _(x: Spec, w: Spec, b: Spec, *, stride: Pair, padding: Sides, groups: int) -> tuple[Spec, ...]:
    checks.floats(x=x, w=w, b=b)
    checks.rank("x", x, "N C H W")
    checks.rank("w", w, "K C/groups R S")
    checks.shape("b", b, w.shape[:1], "one bias for each filter of w")
    return (Spec(_output(x.shape, w.shape, stride, padding, groups), x.dtype, x.device),)


@conv2d_backward_data.define_infer
def _(dy: Spec, w: Spec, *, x_shape: Any, stride: Pair, padding: Sides, groups: int) -> tuple[Spec, ...]:
    checks.floats(dy=dy, w=w)
    checks.rank("w", w, "K C/groups R S")
    x_shape = checks.four_sides("x_shape", x_shape)
    checks.shape("dy", dy, _output(x_shape, w.shape, stride, padding, groups), f"the forward's y for x {x_shape}")
    return (Spec(x_shape, dy.dtype, dy.device),)


@conv2d_backward_weights.define_infer
def _(dy: Spec, x: Spec, *, w_shape: Any, stride: Pair, padding: Sides, groups: int) -> tuple[Spec, ...]:
    checks.floats(dy=dy, x=x)
    checks.rank("x", x, "N C H W")
    w_shape = checks.four_sides("w_shape", w_shape)
    checks.shape("dy", dy, _output(x.shape, w_shape, stride, padding, groups), f"the forward's y for w {w_shape}")
    return Spec(w_shape, accumulator(dy.dtype), dy.device), Spec(w_shape[:1], accumulator(dy.dtype), dy.device)


# A multiply-add counts as two operations; the bias is left out, as is usual.


@conv2d.define_flops
def _(x: Spec, w: Spec, b: Spec, *, stride: Pair, padding: Sides, groups: int) -> int:
    y = _output(x.shape, w.shape, stride, padding, groups)
    return 2 * y[0] * prod(y[2:]) * prod(w.shape)


@conv2d_backward_data.define_flops
def _(dy: Spec, w: Spec, **_: Any) -> int:
    return 2 * dy.shape[0] * prod(dy.shape[2:]) * prod(w.shape)


@conv2d_backward_weights.define_flops
def _(dy: Spec, x: Spec, *, w_shape: Any, **_: Any) -> int:
    return int(2 * dy.shape[0] * prod(dy.shape[2:]) * prod(w_shape))


@conv2d.define_cases
def _(draw: Any) -> Iterator[tuple[str, dict[str, Array], dict[str, Any]]]:
    def case(
        name: str, x: tuple[int, ...], w: tuple[int, ...], **keywords: Any
    ) -> tuple[str, dict[str, Array], dict[str, Any]]:
        return name, {"x": draw(*x), "w": draw(*w), "b": draw(w[0])}, keywords

    yield case("plain", (2, 3, 6, 5), (4, 3, 3, 3))
    yield case("one of everything", (1, 1, 3, 3), (1, 1, 3, 3))
    yield case("1x1", (2, 3, 4, 5), (2, 3, 1, 1))
    yield case("odd, not square", (1, 2, 9, 7), (3, 2, 5, 2), stride=(2, 3), padding=(2, 1))
    yield case("two towers", (3, 4, 7, 7), (6, 2, 3, 3), padding=1, groups=2)
    yield case("three groups", (2, 6, 5, 5), (3, 2, 3, 3), stride=2, padding=1, groups=3)
    yield case("a last window left out", (2, 2, 8, 8), (2, 2, 3, 3), stride=2)
    yield case("paper's conv1, small", (2, 3, 16, 16), (4, 3, 11, 11), stride=4, padding=((0, 3), (0, 3)))
    yield case("padding before only", (2, 2, 5, 6), (2, 2, 3, 3), padding=((2, 0), (1, 0)))
    yield case("stride beyond the window", (2, 2, 9, 9), (3, 2, 2, 2), stride=4)
    yield case("many images", (37, 2, 6, 6), (3, 2, 3, 3), padding=1)
