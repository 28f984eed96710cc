"""The update of all of a network's weights at once, which lie in one array, a thousand to a block.

    v ← μ·v − λ·d·ε·f·w − ε·f·g        w ← w + v        nothing where the loss is not finite

with factors f of the learning rate and d of the decay for each block: a bias has its own. The rest is sgd_momentum_'s.
"""

from collections.abc import Iterator
from math import isfinite, prod
from typing import Any

import numpy as np

from ..backend import Array
from ..dispatch import op
from ..operation import Spec
from ..precision import bfloat16
from . import checks
from .sgd_momentum import sgd_momentum_

BLOCK = 1024  # weights that share their factors

OPTIONS = {
    "inplace": ("weights", "velocity"),
    "dynamic": ("lr",),
}


@op(returns=(), fuses=(sgd_momentum_,), **OPTIONS)
def sgd_momentum_flat_(
    weights: Array,
    velocity: Array,
    gradient: Array,
    factors: Array,
    loss: Array,
    *,
    lr: Any,
    momentum: float = 0.9,
    weight_decay: float = 0.0005,
) -> None:
    """Update weights and velocity (n,) in place from the gradient (n,), unless the loss () is infinite or NaN.

    factors (⌈n/1024⌉, 2): of the learning rate and of the decay, for each 1024 weights. lr: as in sgd_momentum_.
    Raises ValueError for shapes or hyperparameters that do not fit, TypeError for mixed dtypes.
    """
    if not isfinite(float(loss)):
        return
    of_lr, of_decay = (np.repeat(factors[:, i], BLOCK)[: weights.size] for i in (0, 1))
    lr = float(lr) * of_lr
    velocity[...] = momentum * velocity - weight_decay * of_decay * lr * weights - lr * gradient
    weights += velocity


@op(returns=("stored",), fuses=(sgd_momentum_,), **OPTIONS)
def sgd_momentum_mixed_(
    weights: Array,
    velocity: Array,
    gradient: Array,
    factors: Array,
    loss: Array,
    *,
    lr: Any,
    momentum: float = 0.9,
    weight_decay: float = 0.0005,
) -> Array:
    """sgd_momentum_flat_, and the weights after it as bfloat16, which the next forward reads: stored (n,)."""
    sgd_momentum_flat_.definition(
        weights, velocity, gradient, factors, loss, lr=lr, momentum=momentum, weight_decay=weight_decay
    )
    return weights.astype(np.float64).astype(bfloat16())


def _checked(weights: Spec, velocity: Spec, gradient: Spec, factors: Spec, loss: Spec, **keywords: Any) -> None:
    sgd_momentum_.infer(weights, velocity, gradient, lr=0.0, **keywords)
    checks.floats(weights=weights, factors=factors, loss=loss)
    checks.rank("weights", weights, "n")
    checks.shape("factors", factors, (-(-weights.shape[0] // BLOCK), 2), f"two for each {BLOCK} weights")
    checks.shape("loss", loss, ())


@sgd_momentum_flat_.define_infer
def _(*specs: Spec, **keywords: Any) -> tuple[Spec, ...]:
    _checked(*specs, **keywords)
    return ()


@sgd_momentum_mixed_.define_infer
def _(*specs: Spec, **keywords: Any) -> tuple[Spec, ...]:
    _checked(*specs, **keywords)
    return (Spec(specs[0].shape, bfloat16(), specs[0].device),)


@sgd_momentum_flat_.define_cases
@sgd_momentum_mixed_.define_cases
def _(draw: Any) -> Iterator[tuple[str, dict[str, Array], dict[str, Any]]]:
    def arrays(n: int, loss: float = 2.5) -> dict[str, Array]:
        three = {name: draw(n) for name in ("weights", "velocity", "gradient")}
        return {**three, "factors": abs(draw(-(-n // BLOCK), 2)), "loss": np.asarray(loss, draw.dtype)}

    yield "the paper's", arrays(2 * BLOCK), {"lr": 0.01}
    yield "a last block of a few", arrays(3 * BLOCK + 7), {"lr": 0.5, "momentum": 0.0, "weight_decay": 0.1}
    yield "a NaN as loss", arrays(BLOCK, np.nan), {"lr": 0.01}
    yield "an infinite loss", arrays(BLOCK, np.inf), {"lr": 0.01}


@sgd_momentum_flat_.define_flops
@sgd_momentum_mixed_.define_flops
def _(weights: Spec, *_: Spec, **__: Any) -> int:
    return 8 * prod(weights.shape)


assert sgd_momentum_._check
sgd_momentum_flat_.define_check(sgd_momentum_._check)
sgd_momentum_mixed_.define_check(sgd_momentum_._check)
