"""Two more judges of a backward, which share nothing with differences along single elements.

The Taylor remainder: for φ(v) = ½‖f(v)‖², whose gradient is Jᵀf, the remainder |φ(v + hd) − φ(v) − h⟨Jᵀf, d⟩| along a
random direction d falls as h² if the gradient is right, and as h if it is not. The square gives a linear f a curvature.

The dot test with a complex step: ⟨dy, J d⟩ = ⟨Jᵀdy, d⟩, with J d = Im f(v + ihd) / h of the operation's definition,
which subtracts nothing and is therefore exact to rounding. For operations whose definition is analytic.
"""

from typing import Any

import numpy as np

from ..backend import Array
from ..dispatch import Op
from .targets import Target, target_of

HALVINGS = 40
DECADES = 3.0  # of remainders that the slope is fitted over, the last ones above the noise
ABOVE_NOISE = 1e3
COMPLEX_STEP = 1e-30


def taylor_slope(target: Any, *inputs: Array, seed: int = 0, **keywords: Any) -> float:
    """How fast the remainder falls along a random direction through all arrays: 2 if the gradient is right, 1 if not.

    For smooth targets in float64: a kink within reach bends the line. Raises ValueError where rounding leaves too few
    steps to tell.
    """
    found = target_of(target, inputs, keywords)
    base = {name: a.copy() for name, a in found.arrays.items()}
    random = np.random.default_rng(seed)
    direction = {name: random.standard_normal(a.shape) * (np.abs(a).mean() or 1.0) for name, a in base.items()}
    y = np.array(found.forward(base))
    gradient = found.backward(base, y if found.upstream else np.ones_like(y))
    along = sum(float((gradient[name] * d).sum()) for name, d in direction.items())

    def value(h: float) -> float:
        out = np.array(found.forward({name: a + h * direction[name] for name, a in base.items()}), np.float64)
        return float(0.5 * (out**2).sum() if found.upstream else out.sum())

    start = value(0.0)
    noise = np.finfo(np.float64).eps * max(abs(start), 1e-300)
    h = 2.0 ** -np.arange(2, 2 + HALVINGS)
    remainder = np.array([abs(value(step) - start - step * along) for step in h])
    found.forward(base)  # an object's parameters are back where they were
    usable = remainder > ABOVE_NOISE * noise
    if usable.sum() < 4:
        raise ValueError("rounding leaves too few steps to see how the remainder falls")
    last = h[usable].min()
    fitted = usable & (h <= last * 10 ** (DECADES / 2))
    if fitted.sum() < 4:
        fitted = usable
    return float(np.polyfit(np.log(h[fitted]), np.log(remainder[fitted]), 1)[0])


def complex_dot(op: Op, *inputs: Array, seed: int = 0, **keywords: Any) -> float:
    """|⟨dy, J d⟩ − ⟨Jᵀdy, d⟩| relative to the sum of the terms' magnitudes, with J d from a complex step.

    Raises TypeError where the operation has no backward. The definition must be analytic: not ReLU, nor pooling.
    """
    found: Target = target_of(op, inputs, keywords)
    random = np.random.default_rng(seed)
    direction = {name: random.standard_normal(a.shape) for name, a in found.arrays.items()}
    moved = [
        found.arrays[name] + 1j * COMPLEX_STEP * direction[name] if name in direction else given
        for name, given in zip(op.inputs, inputs, strict=True)
    ]
    result = op.definition(*moved, **keywords)
    tangent = np.asarray(result[0] if len(op.returns) > 1 else result).imag / COMPLEX_STEP
    dy = random.standard_normal(tangent.shape) if found.upstream else np.ones(tangent.shape)
    gradients = found.backward(found.arrays, dy)
    forward_terms = dy * tangent
    backward_terms = [gradients[name] * d for name, d in direction.items()]
    magnitude = float(np.abs(forward_terms).sum() + sum(np.abs(t).sum() for t in backward_terms))
    return abs(float(forward_terms.sum()) - sum(float(t.sum()) for t in backward_terms)) / magnitude
