"""Judges of a backward that move whole arrays along random directions; each shares nothing with the others.

The dot test: ⟨dy, J d⟩ = ⟨Jᵀdy, d⟩. J d comes from differences, for any target; or, where an operation's definition is
analytic, from a complex step through it, J d = Im f(v + ihd) / h, which subtracts nothing and is exact to rounding.
Outputs with a kink along d get no upstream gradient: entries at kinks are the business of the single elements.

The Taylor remainder: for φ(v) = ½‖f(v)‖², whose gradient is Jᵀf, the remainder |φ(v + hd) − φ(v) − h⟨Jᵀf, d⟩| falls
as h² if the gradient is right, and as h if it is not. The square gives a linear f a curvature.
"""

from typing import Any

import numpy as np

from ..backend import Array
from ..dispatch import Op
from .elements import COARSE, ROUNDINGS, SAFETY, Worst, share
from .probe import Probe
from .targets import target_of

HALVINGS = 40
DECADES = 3.0  # of remainders that the slope is fitted over, the last ones above the noise
ABOVE_NOISE = 1e3
FALSE_SLOPE = 1.5  # of a remainder that falls as h; the two sides are 1 and 2


def dot_test(probe: Probe, key: str, random: np.random.Generator) -> Worst | None:
    """By differences, along a random direction of one array; None where their error is too large to tell, or a kink
    cannot be left out because the backward takes no upstream gradient."""
    direction, dy = probe.random_direction(key, random), probe.upstream(random).ravel()
    numeric = probe.direction({key: direction})
    if numeric.kink.any() and not probe.target.upstream:
        return None
    seen = np.where(numeric.kink, 0, dy)
    terms = seen * np.where(numeric.kink, 0.0, numeric.slope)
    shares = probe.gradients(seen)[key].astype(np.float64) * direction
    error = float(np.linalg.norm(seen * np.where(numeric.kink, 0.0, numeric.error)))
    size = max(float(np.linalg.norm(shares)), float(np.linalg.norm(terms)))
    if not error <= COARSE * size and np.isfinite(size):
        return None
    bound = SAFETY * error + ROUNDINGS * float(np.finfo(direction.dtype).eps) * size
    return _compared("dot test by differences", float(shares.sum()), float(terms.sum()), error, bound)


def complex_step(probe: Probe, key: str, random: np.random.Generator) -> Worst:
    """The dot test by a complex step, along a random direction of one array; for targets that have a `tangent`."""
    assert probe.target.tangent is not None
    arrays = {name: a.astype(np.float64) for name, a in probe.arrays.items()}
    direction, dy = probe.random_direction(key, random), probe.upstream(random)
    terms = dy * probe.target.tangent(arrays, {key: direction.astype(np.float64)})
    shares = probe.gradients(dy)[key].astype(np.float64) * direction
    error = float(np.finfo(direction.dtype).eps) * float(np.abs(shares).sum() + np.abs(terms).sum())
    return _compared("complex step", float(shares.sum()), float(terms.sum()), error, ROUNDINGS * error)


def _compared(oracle: str, analytic: float, numeric: float, error: float, bound: float) -> Worst:
    return Worst(share(abs(analytic - numeric), bound or 1.0), oracle, -1, analytic, numeric, error, bound)


def taylor_slope(target: Any, *inputs: Array, seed: int = 0, **keywords: Any) -> float:
    """How fast the remainder falls along a random direction through all arrays: 2 if the gradient is right, 1 if not.

    For targets in float64. Raises ValueError where rounding leaves too few steps to tell, or a loss has a kink.
    """
    return slope_of_remainder(Probe(target_of(target, inputs, keywords), seed), np.random.default_rng(seed))


def slope_of_remainder(probe: Probe, random: np.random.Generator) -> float:
    """As taylor_slope. Of the outputs, φ takes those that have no kink along the direction."""
    target, direction = probe.target, {name: probe.random_direction(name, random) for name in probe.arrays}
    kinks = probe.direction(direction).kink
    if kinks.any() and not target.upstream:
        raise ValueError("a kink lies in the way")
    weights = np.where(kinks, 0.0, probe.y if target.upstream else 1.0)
    gradient = probe.gradients(weights)
    along = sum(float((gradient[name].astype(np.float64) * d).sum()) for name, d in direction.items())

    # φ(v + hd) − φ(v), which is Σ (f′ − f)(f′ + f)/2, or Σ (f′ − f) where the backward takes no upstream gradient.
    h = 2.0 ** -np.arange(2, 2 + HALVINGS)
    rises, outputs = [], probe.along(direction)
    for step in map(float, h):
        moved = outputs(step).y
        rises.append(float(((moved - probe.y) * (0.5 * (moved + probe.y) if target.upstream else 1.0))[~kinks].sum()))
    remainder = np.abs(np.array(rises) - h * along)
    usable = remainder > ABOVE_NOISE * max(float(np.linalg.norm(weights * probe.noise)), 1e-300)
    if usable.sum() < 4:
        raise ValueError("rounding leaves too few steps to see how the remainder falls")
    fitted = usable & (h <= h[usable].min() * 10 ** (DECADES / 2))
    if fitted.sum() < 4:
        fitted = usable
    return float(np.polyfit(np.log(h[fitted]), np.log(remainder[fitted]), 1)[0])


def complex_dot(op: Op, *inputs: Array, seed: int = 0, **keywords: Any) -> float:
    """|⟨dy, J d⟩ − ⟨Jᵀdy, d⟩| relative to the sum of the terms' magnitudes, with J d from a complex step.

    The largest over the inputs. Raises TypeError where the operation has no backward or is not analytic, as ReLU and
    pooling are not.
    """
    target = target_of(op, inputs, keywords)
    if target.tangent is None:
        raise TypeError(f"{target.name} is not analytic: a complex step does not give its derivative")
    probe, random = Probe(target, seed), np.random.default_rng(seed)
    found = [complex_step(probe, key, random) for key in probe.arrays]
    return max(worst.excess * ROUNDINGS for worst in found) * float(np.finfo(probe.dtype).eps)
