"""The check of a backward pass: every judge is asked, and the worst of what they say of a gradient is its verdict."""

from typing import Any

import numpy as np

from ..backend import Array
from . import conduct
from .directions import FALSE_SLOPE, complex_step, dot_test, slope_of_remainder
from .elements import Jacobian, Worst, compare
from .probe import Probe
from .report import KINDS, Report, Row
from .targets import target_of
from .words import describe


def gradcheck(
    target: Any,
    *inputs: Array,
    name: str = "",
    seed: int = 0,
    elements: int = 2000,
    step: float | None = None,
    **keywords: Any,
) -> Report:
    """Check the backward of an operation, a layer, a network, a pair (forward, backward), or any object with both.

    inputs: the arrays that forward takes; floating ones are differentiated. keywords: an operation's own.
    elements: how many of each array are checked, drawn at random where it has more; then the whole array is moved along
    a random direction too. step: one of the steps that are tried, as a share of an element's size; the others lie
    around it and span the same range whatever it is, so that no verdict depends on it. Raises TypeError for a target
    that cannot be called, ValueError where there is nothing to differentiate, and what the target itself raises.
    """
    found = target_of(target, inputs, keywords)
    if elements < 1:
        raise ValueError(f"elements must be at least 1, got {elements}")
    probe, random, title = Probe(found, seed, step), np.random.default_rng(seed), name or found.name
    if not np.isfinite(probe.y).all():
        return Report(title, [], ["the output is not finite at these inputs: there is no derivative"], seed=seed)
    faults = conduct.repeats(probe)
    deterministic = not faults
    dy = probe.upstream(random)
    gradients, (wrong, remarks) = conduct.gradients_and_findings(probe, dy)
    faults += wrong
    if len(gradients) < len(probe.arrays):
        return Report(title, [], faults, remarks, seed=seed)
    chosen = {key: np.sort(random.permutation(a.size)[:elements]) for key, a in probe.arrays.items()}
    jacobian = Jacobian(probe, chosen)
    rows = [_row(probe, jacobian, key, g, dy.astype(np.float64).ravel(), random) for key, g in gradients.items()]
    faults += conduct.unwritten(probe, dy, gradients, deterministic)
    slope, unseen = _slope(probe, random)
    if slope is not None and slope < FALSE_SLOPE:
        faults.append(f"the Taylor remainder falls as h^{slope:.2f} along a random direction, not as h²")
    found.forward(probe.arrays)  # parameters on a GPU are back where they were, as those on the CPU are
    wrong, refused = conduct.edges(probe, dy, gradients, seed, values=all(row.ok for row in rows))
    return Report(title, rows, faults + wrong, remarks + unseen + refused, slope, seed)


def assert_gradients(target: Any, *inputs: Array, **options: Any) -> None:
    """gradcheck for a test of your own: raises AssertionError with the report where a gradient is wrong."""
    report = gradcheck(target, *inputs, **options)
    if not report.ok:
        raise AssertionError(f"wrong gradients (seed {report.seed})\n{report.text()}")


def _row(probe: Probe, jacobian: Jacobian, key: str, gradient: Array, dy: Array, random: np.random.Generator) -> Row:
    worst, compared = compare(probe, jacobian, key, gradient, dy)
    judged = []
    for oracle, found in _directions(probe, key, random, sampled=len(compared.places) < gradient.size).items():
        judged.append(oracle if found is not None else f"{oracle} undecided")
        # What the elements show is easier to act on.
        if found is not None and worst.excess <= 1:
            worst = max(worst, found)
    at = tuple(map(int, np.unravel_index(worst.i, gradient.shape))) if worst.i >= 0 else ()
    words = describe(probe, jacobian, key, compared) if worst.excess > 1 else ""
    smooth, bracketed, undecided = (int((compared.kinds == kind).sum()) for kind in KINDS)
    return Row(
        name=key,
        shape=gradient.shape,
        smooth=smooth,
        bracketed=bracketed,
        undecided=undecided,
        excess=worst.excess,
        oracle=worst.oracle,
        at=at,
        analytic=worst.analytic,
        numeric=worst.numeric,
        error=worst.error,
        bound=worst.bound,
        words=words,
        judged=tuple(judged),
        compared=compared,
    )


def _directions(probe: Probe, key: str, random: np.random.Generator, sampled: bool) -> dict[str, Worst | None]:
    found: dict[str, Worst | None] = {}
    if sampled:
        found["dot test"] = dot_test(probe, key, random)
    if probe.target.tangent is not None:
        found["complex step"] = complex_step(probe, key, random)
    return found


def _slope(probe: Probe, random: np.random.Generator) -> tuple[float | None, list[str]]:
    """The slope of the Taylor remainder, or why it was not to be seen."""
    if any(a.dtype.itemsize < 8 for a in probe.arrays.values()):
        return None, ["Taylor remainder: not in float32, whose rounding leaves too few decades"]
    try:
        return slope_of_remainder(probe, random), []
    except ValueError as error:
        return None, [f"Taylor remainder: {error}"]
