"""What is wrong with a gradient, in words, where the errors show a pattern."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend import Array
from .elements import SAFETY, Jacobian
from .probe import Probe
from .report import Compared


def describe(probe: Probe, jacobian: Jacobian, key: str, found: Compared) -> str:
    """A sentence for a wrong gradient; empty where no pattern shows.

    Looks for what is not a number, nothing at all, one factor between the two, a rearrangement (axes exchanged, a
    shift, a reversal), a term of the Jacobian that is missing, and errors that keep to a part of one axis.
    """
    shape, analytic, numeric = probe.arrays[key].shape, found.analytic, found.numeric
    wrong = ~(np.abs(analytic - numeric) <= found.bound)
    if not np.isfinite(analytic).all():
        return f"{int((~np.isfinite(analytic)).sum())} elements are not finite"
    if not analytic.any() and numeric.any():
        return "it is zero everywhere"
    large = np.abs(numeric) > 1e-3 * np.abs(numeric).max(initial=0)
    ratio = float(np.median(analytic[large] / numeric[large])) if large.any() else 1.0
    if wrong.sum() > 1 and abs(ratio - 1) > 1e-9 and (np.abs(analytic - ratio * numeric) <= 2 * found.bound).all():
        return _factor(ratio, probe)
    if len(found.places) == np.prod(shape):
        for what, moved in _rearranged(numeric.reshape(shape)):
            if (np.abs(analytic - moved.ravel()) <= 2 * found.bound.max()).all():
                return what
    what = _missing_term(probe, jacobian, key) or _part(shape, found.places, wrong)
    if not what and len(found.places) == np.prod(shape):
        what = _constant((analytic - numeric).reshape(shape), 2 * float(found.bound.max()))
    return what


def _factor(ratio: float, probe: Probe) -> str:
    if abs(ratio + 1) < 1e-6:
        return "its sign is wrong"
    inputs = probe.target.inputs
    images = inputs[0].shape[0] if inputs and inputs[0].ndim else 1
    for value, what in ((1 / images, "1/N"), (images, "N")):
        if images > 1 and abs(ratio / value - 1) < 1e-6:
            return f"it is off by a factor of {what}, with N = {images} images"
    return f"it is off by a factor of {ratio:.6g}"


def _rearranged(right: Array) -> Iterator[tuple[str, Array]]:
    """What the right gradient would be if its elements stood in other places."""
    for axis in range(right.ndim - 1):
        if right.shape[axis] == right.shape[axis + 1] > 1:
            last = "its last two axes are" if axis == right.ndim - 2 else f"its axes {axis} and {axis + 1} are"
            yield f"{last} transposed", right.swapaxes(axis, axis + 1)
    for axis, length in enumerate(right.shape):
        for by in (1, -1) if length > 2 else (1,) if length == 2 else ():
            yield f"it is shifted by {by} along axis {axis}", np.roll(right, by, axis)
        if length > 2:
            yield f"it is reversed along axis {axis}", np.flip(right, axis)
    if right.ndim > 1 and min(right.shape[-2:]) > 1:
        yield "its last two axes are reversed: turned by 180 degrees", right[..., ::-1, ::-1]


def _constant(difference: Array, bound: float) -> str:
    """Whether the difference does not change along some axes: a sum or a mean over them is left out, or too much."""
    axes = [a for a, n in enumerate(difference.shape) if n > 1 and np.ptp(difference, axis=a).max() <= bound]
    what = f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"
    return f"its error is constant along {what}: a sum or mean over it is left out, or too much" if axes else ""


def _missing_term(probe: Probe, jacobian: Jacobian, key: str) -> str:
    """Whether the Jacobian has nothing between different places of an axis that output and input share, and should.

    Such a term couples channels in local response normalisation, classes in a softmax, images in a batch norm.
    """
    shape, outputs = probe.arrays[key].shape, probe.shape
    if not jacobian.whole or len(shape) != len(outputs):
        return ""
    columns = [probe.element(key, [i]) for i in range(probe.arrays[key].size)]
    slopes = np.stack([column.slope for column in columns], axis=1)
    real = np.abs(slopes) > SAFETY * np.stack([column.error for column in columns], axis=1)
    entries = jacobian.columns(key)
    of_output, of_input = np.indices(outputs).reshape(len(outputs), -1), np.indices(shape).reshape(len(shape), -1)
    for axis, (length, same) in enumerate(zip(shape, outputs, strict=True)):
        across: Any = of_output[axis][:, None] != of_input[axis][None, :]
        if length == same > 1 and (real & across).any() and not entries[across].any():
            name = {1: " (channels or classes)"}.get(axis, "")
            return f"the term across axis {axis}{name} is missing: nothing flows between its different places"
    return ""


def _part(shape: tuple[int, ...], places: Array, wrong: Array) -> str:
    """Whether the wrong elements, and no right ones, fill a range of one axis."""
    index: Any = np.unravel_index(places, shape)
    for axis, (at, length) in enumerate(zip(index, shape, strict=True)):
        bad, good = np.unique(at[wrong]), np.unique(at[~wrong])
        if len(bad) and len(good) and len(bad) < length and not np.isin(bad, good).any():
            where = f"{bad[0]}" if len(bad) == 1 else f"{bad[0]} … {bad[-1]}"
            return f"it is right except where axis {axis} is {where} (of {length})"
    return ""
