"""The paper's update rule: gradient descent with momentum, and weight decay inside the momentum, scaled by ε.

    v ← μ·v − λ·ε·w − ε·g        w ← w + v

with learning rate ε (`lr`), momentum μ and weight decay λ; g is the mean gradient of the batch. PyTorch's SGD keeps ε
outside (v ← μ·v + λ·w + g; w ← w − ε·v), which is the same only while ε is constant.

Source: Krizhevsky et al. 2012, §5.
"""

from collections.abc import Iterator
from math import inf, prod
from typing import Any

import numpy as np

from ..backend import Array, device_of
from ..dispatch import op
from ..operation import Spec
from . import checks


@op(returns=(), inplace=("weights", "velocity"), dynamic=("lr",))
def sgd_momentum_(
    weights: Array,
    velocity: Array,
    gradient: Array,
    *,
    lr: Any,
    momentum: float = 0.9,
    weight_decay: float = 0.0005,
) -> None:
    """Update weights and velocity in place; three arrays of one shape and dtype.

    lr: a finite number from 0, or a one-element array that a kernel reads when it runs.
    Raises ValueError for shapes or hyperparameters that do not fit, TypeError for mixed dtypes.
    """
    velocity[...] = momentum * velocity - weight_decay * float(lr) * weights - float(lr) * gradient
    weights += velocity


@sgd_momentum_.define_infer
def _(weights: Spec, velocity: Spec, gradient: Spec, *, momentum: float, weight_decay: float) -> tuple[Spec, ...]:
    checks.floats(weights=weights, velocity=velocity, gradient=gradient)
    checks.shape("velocity", velocity, weights.shape, "as weights")
    checks.shape("gradient", gradient, weights.shape, "as weights")
    checks.number("momentum", momentum, 0, 1)
    checks.number("weight_decay", weight_decay, 0)
    return ()


@sgd_momentum_.define_check
def _(lr: Any) -> None:
    if type(lr) is float and 0 <= lr < inf:  # as nearly always, and 5 µs sooner than below
        return
    if isinstance(lr, np.generic) or device_of(lr) is None:
        checks.number("lr", lr, 0)
    elif lr.size != 1 or lr.dtype.kind != "f":
        raise ValueError(f"lr must be a number or a one-element array of floats, got {lr!r}")
    elif isinstance(lr, np.ndarray):  # what stands on a device is not fetched for a look
        checks.number("lr", lr.item(), 0)


@sgd_momentum_.define_flops
def _(weights: Spec, velocity: Spec, gradient: Spec, **_: Any) -> int:
    return 6 * prod(weights.shape)


@sgd_momentum_.define_cases
def _(draw: Any) -> Iterator[tuple[str, dict[str, Array], dict[str, Any]]]:
    def arrays(*shape: int) -> dict[str, Array]:
        return {"weights": draw(*shape), "velocity": draw(*shape), "gradient": draw(*shape)}

    yield "the paper's", arrays(4, 3, 5, 5), {"lr": 0.01}
    yield "a bias", arrays(1), {"lr": 0.5, "momentum": 0.0, "weight_decay": 0.1}
    yield "many weights", arrays(70000), {"lr": 0.01, "weight_decay": 0.01}
