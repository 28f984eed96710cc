"""Operations that are a few others in one pass over memory: what they compute is the others', one after another.

They are what a plan on the GPU is made of. A tensor between two of the others is never written down, nor rounded. ReLU
comes first in those that pool, since a convolution's result is best taken through it where it is read.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

from ..backend import Array
from ..dispatch import op
from ..operation import Spec
from ..precision import accumulator
from .conv2d import CANONICAL as WINDOWS
from .conv2d import conv2d
from .linear import linear
from .lrn import lrn, lrn_backward
from .maxpool2d import CANONICAL, maxpool2d, maxpool2d_backward
from .relu import relu, relu_backward
from .softmax_cross_entropy import softmax_cross_entropy, softmax_cross_entropy_backward
from .windows import pair, sides

POOLS = {"pool_size": pair, "pool_stride": pair, "pool_padding": sides}


# A product with its bias, then ReLU. The backward is relu_backward, whose y this is, and the product's own.


@op(returns=("y",), fuses=(conv2d, relu), canonical=WINDOWS)
def conv2d_relu(x: Array, w: Array, b: Array, *, stride: Any = 1, padding: Any = 0, groups: int = 1) -> Array:
    """relu(conv2d(x, w, b)); the keywords and errors are conv2d's."""
    return relu.definition(conv2d.definition(x, w, b, stride=stride, padding=padding, groups=groups))


@op(returns=("y",), fuses=(linear, relu))
def linear_relu(x: Array, w: Array, b: Array) -> Array:
    """relu(linear(x, w, b)); errors are linear's."""
    return relu.definition(linear.definition(x, w, b))


for product, activated in ((conv2d, conv2d_relu), (linear, linear_relu)):
    assert product._infer and product._flops and product.draw_cases
    activated.define_infer(product._infer)
    activated.define_flops(product._flops)
    activated.define_cases(product.draw_cases)


# ReLU, then max-pooling. Where y > 0 its winner was positive, so the mask of the whole plane is not needed:
#
#   dx[n,c,h,w] = Σ_{p,q : index[n,c,p,q] = h·W + w and y[n,c,p,q] > 0} dy[n,c,p,q]


@op(returns=("y", "index"), backward=("relu_maxpool2d_backward",), fuses=(relu, maxpool2d), canonical=CANONICAL)
def relu_maxpool2d(x: Array, *, size: Any, stride: Any, padding: Any = 0) -> tuple[Array, Array]:
    """maxpool2d(relu(x)): y and index (N, C, P, Q); the keywords and errors are maxpool2d's."""
    y, index = maxpool2d.definition(relu.definition(x), size=size, stride=stride, padding=padding)
    return y, index


@op(returns=("dx",), fuses=(maxpool2d_backward, relu_backward), canonical=CANONICAL)
def relu_maxpool2d_backward(
    dy: Array, y: Array, index: Array, *, x_shape: tuple[int, ...], size: Any, stride: Any, padding: Any = 0
) -> Array:
    """Gradient dx of shape `x_shape` from dy, and the forward's y and index, all (N, C, P, Q)."""
    through = relu_backward.definition(dy, y)
    return maxpool2d_backward.definition(through, index, x_shape=x_shape, size=size, stride=stride, padding=padding)


@relu_maxpool2d.define_infer
def _(x: Spec, **keywords: Any) -> tuple[Spec, ...]:
    return maxpool2d.infer(x, **keywords)


@relu_maxpool2d_backward.define_infer
def _(dy: Spec, y: Spec, index: Spec, **keywords: Any) -> tuple[Spec, ...]:
    relu_backward.infer(dy, y)
    return maxpool2d_backward.infer(dy, index, **keywords)


# ReLU, local response normalisation, then max-pooling: the end of the paper's first two layers. Back through the pool a
# winner's channel gets dy, as a tensor that stands in registers; the rest is lrn_backward of relu(x), and its mask.


@op(
    returns=("y", "scale", "index"),
    backward=("relu_lrn_maxpool2d_backward",),
    fuses=(relu, lrn, maxpool2d),
    canonical=POOLS,
)
def relu_lrn_maxpool2d(
    x: Array,
    *,
    pool_size: Any,
    pool_stride: Any,
    pool_padding: Any = 0,
    size: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    alpha_over_size: bool = False,
    groups: int = 1,
) -> tuple[Array, Array, Array]:
    """maxpool2d(lrn(relu(x))): y and index (N, C, P, Q), scale (N, C, H, W).

    pool_size, pool_stride, pool_padding are maxpool2d's size, stride and padding; the other keywords are lrn's, and the
    errors those of both.
    """
    z, scale = lrn.definition(
        relu.definition(x), size=size, k=k, alpha=alpha, beta=beta, alpha_over_size=alpha_over_size, groups=groups
    )
    y, index = maxpool2d.definition(z, size=pool_size, stride=pool_stride, padding=pool_padding)
    return y, scale, index


@op(
    returns=("dx",),
    fuses=(maxpool2d_backward, lrn_backward, relu_backward),
    canonical=POOLS,
)
def relu_lrn_maxpool2d_backward(
    dy: Array,
    x: Array,
    scale: Array,
    index: Array,
    *,
    pool_size: Any,
    pool_stride: Any,
    pool_padding: Any = 0,
    size: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    alpha_over_size: bool = False,
    groups: int = 1,
) -> Array:
    """Gradient dx (N, C, H, W) from dy (N, C, P, Q), the forward's x, scale and index; its keywords."""
    positive = relu.definition(x)
    dz = maxpool2d_backward.definition(
        dy, index, x_shape=x.shape, size=pool_size, stride=pool_stride, padding=pool_padding
    )
    through = lrn_backward.definition(
        dz, positive, scale, size=size, k=k, alpha=alpha, beta=beta, alpha_over_size=alpha_over_size, groups=groups
    )
    return relu_backward.definition(through, positive)


def _pool(keywords: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keywords of the pool, under its own names, and the rest, which are lrn's."""
    pool = {name.removeprefix("pool_"): keywords[name] for name in POOLS}
    return pool, {name: value for name, value in keywords.items() if name not in POOLS}


@relu_lrn_maxpool2d.define_infer
def _(x: Spec, **keywords: Any) -> tuple[Spec, ...]:
    pool, rest = _pool(keywords)
    scale = lrn.infer(x, **rest)[1]
    y, index = maxpool2d.infer(x, **pool)
    return y, scale, index


@relu_lrn_maxpool2d_backward.define_infer
def _(dy: Spec, x: Spec, scale: Spec, index: Spec, **keywords: Any) -> tuple[Spec, ...]:
    pool, rest = _pool(keywords)
    dz = maxpool2d_backward.infer(dy, index, x_shape=x.shape, **pool)[0]
    return lrn_backward.infer(dz, x, scale, **rest)


# Softmax and cross-entropy with their gradient, which asks for no upstream one: the loss is where a step turns round.


@op(
    returns=("loss", "dlogits"),
    fuses=(softmax_cross_entropy, softmax_cross_entropy_backward),
)
def softmax_cross_entropy_with_gradient(logits: Array, labels: Array) -> tuple[Array, Array]:
    """The mean loss of logits (N, K) and labels (N,), and dlogits (N, K); errors are softmax_cross_entropy's."""
    loss, probs = softmax_cross_entropy.definition(logits, labels)
    return loss, softmax_cross_entropy_backward.definition(probs, labels)


@softmax_cross_entropy_with_gradient.define_infer
def _(logits: Spec, labels: Spec) -> tuple[Spec, ...]:
    loss, _ = softmax_cross_entropy.infer(logits, labels)
    return loss, logits


assert softmax_cross_entropy._check and softmax_cross_entropy.draw_cases
softmax_cross_entropy_with_gradient.define_check(softmax_cross_entropy._check)
softmax_cross_entropy_with_gradient.define_cases(softmax_cross_entropy.draw_cases)


@softmax_cross_entropy_with_gradient.define_flops
def _(logits: Spec, labels: Spec) -> int:
    kept = Spec(logits.shape, accumulator(logits.dtype), logits.device)
    return softmax_cross_entropy.cost(logits, labels).flops + softmax_cross_entropy_backward.cost(kept, labels).flops


# What pooling costs, and what all are tried on.


@relu_maxpool2d.define_flops
def _(x: Spec, **keywords: Any) -> int:
    return prod(x.shape) + maxpool2d.cost(x, **keywords).flops


@relu_maxpool2d_backward.define_flops
def _(dy: Spec, y: Spec, index: Spec, **_: Any) -> int:
    return 2 * prod(dy.shape)


@relu_lrn_maxpool2d.define_flops
def _(x: Spec, **keywords: Any) -> int:
    pool, rest = _pool(keywords)
    return prod(x.shape) + lrn.cost(x, **rest).flops + maxpool2d.cost(x, **pool).flops


@relu_lrn_maxpool2d_backward.define_flops
def _(dy: Spec, x: Spec, scale: Spec, index: Spec, **keywords: Any) -> int:
    _, rest = _pool(keywords)
    return prod(dy.shape) + lrn_backward.cost(x, x, scale, **rest).flops + prod(x.shape)


assert maxpool2d.draw_cases
relu_maxpool2d.define_cases(maxpool2d.draw_cases)


@relu_lrn_maxpool2d.define_cases
def _(draw: Any) -> Iterator[tuple[str, dict[str, Array], dict[str, Any]]]:
    paper = {"pool_size": 3, "pool_stride": 2}
    yield "the paper's", {"x": draw(2, 8, 7, 7)}, paper
    yield "large alpha", {"x": draw(2, 9, 5, 7)}, {"alpha": 1.0, "k": 1.0, **paper}
    yield "two towers, many channels", {"x": draw(1, 40, 3, 5)}, {"alpha": 1.0, "groups": 2, **paper}
    yield "window of 3, odd power", {"x": draw(1, 6, 5, 5)}, {"size": 3, "alpha": 0.7, "beta": 0.6, **paper}
    yield "padded", {"x": draw(2, 5, 6, 5)}, {"alpha": 1.0, "pool_size": 3, "pool_stride": 2, "pool_padding": 1}
    one_side = {"pool_size": (2, 3), "pool_stride": (1, 2), "pool_padding": ((0, 1), (2, 0))}
    yield "padded on two sides", {"x": draw(1, 5, 4, 6)}, {"alpha": 1.0, **one_side}
    yield "rows left out", {"x": draw(1, 5, 12, 9)}, {"alpha": 1.0, "pool_size": 2, "pool_stride": 4}
    yield "several bands", {"x": draw(1, 3, 29, 37)}, {"alpha": 0.5, **paper}
    yield "exact zeros", {"x": draw(2, 6, 7, 7, values=3)}, paper
