"""What is wrong with a gradient, in words, where the errors show a pattern."""

from typing import Any

import numpy as np

from ..backend import Array


def describe(shape: tuple[int, ...], places: Array, analytic: Array, numeric: Array, bound: Array) -> str:
    """A sentence for a gradient of `shape` of which `places` (flat) were compared; empty where no pattern shows.

    Looks for one factor between the two, a change of sign, nothing at all, a transposition of the last two axes, and
    errors that keep to a part of one axis.
    """
    wrong = ~(np.abs(analytic - numeric) <= bound)
    if not np.isfinite(analytic).all():
        return f"{int((~np.isfinite(analytic)).sum())} elements are not finite"
    if not analytic.any() and numeric.any():
        return "it is zero everywhere"
    large = np.abs(numeric) > 1e-3 * np.abs(numeric).max(initial=0)
    ratio = float(np.median(analytic[large] / numeric[large])) if large.any() else 1.0
    if wrong.sum() > 1 and abs(ratio - 1) > 1e-9 and (np.abs(analytic - ratio * numeric) <= 2 * bound).all():
        return "its sign is wrong" if abs(ratio + 1) < 1e-6 else f"it is off by a factor of {ratio:.6g}"
    if len(shape) > 1 and shape[-1] == shape[-2] and len(places) == np.prod(shape):
        turned = numeric.reshape(shape).swapaxes(-1, -2).ravel()
        if (np.abs(analytic - turned) <= bound + bound.reshape(shape).swapaxes(-1, -2).ravel()).all():
            return "its last two axes are transposed"
    return _part(shape, places, wrong)


def _part(shape: tuple[int, ...], places: Array, wrong: Array) -> str:
    """Whether the wrong elements, and no right ones, fill a range of one axis."""
    index: Any = np.unravel_index(places, shape)
    for axis, (at, length) in enumerate(zip(index, shape, strict=True)):
        bad, good = np.unique(at[wrong]), np.unique(at[~wrong])
        if len(bad) and len(good) and len(bad) < length and not np.isin(bad, good).any():
            where = f"{bad[0]}" if len(bad) == 1 else f"{bad[0]} … {bad[-1]}"
            return f"it is right except where axis {axis} is {where} (of {length})"
    return ""
