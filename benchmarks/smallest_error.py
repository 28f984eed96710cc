"""The smallest relative error of a gradient that is detected: `python -m alexnet_np.benchmarks.smallest_error`.

One gradient of an operation is multiplied by 1 + ε, whole or in a single element, drawn among those above the median
magnitude of those that are not zero. ε falls by half decades, 0.1, 0.03, 0.01, …, until it passes for one seed.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from alexnet_np import gradcheck, ops
from alexnet_np.backend import Array
from alexnet_np.gradient_check.targets import Target, target_of

from .planted_mistakes import CALLS, Gradients, remembered
from .tally import paragraph

SEEDS = range(5)
SIZES = [mantissa * 10.0**-k for k in range(1, 15) for mantissa in ((1.0,) if k == 1 else (3.0, 1.0))]


class Row(NamedTuple):
    """A gradient of a call: the smallest ε for all of it and for one element, None where not even 0.1 is seen."""

    name: str
    whole: float | None
    single: float | None


def rows(dtype: Any, any_target: bool = False) -> Iterator[Row]:
    """One for each gradient of each call of the study of planted mistakes.

    any_target: without what the checker takes from an operation's definition, as for a layer of somebody's own.
    """
    for op, given, keywords in CALLS:
        inputs = tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in given)
        right = target_of(op, inputs, keywords)
        options = ", ".join(f"{key}={value}" for key, value in keywords.items()) if op is ops.lrn else ""
        for name in right.arrays:
            one = alone(right, name)
            one = replace(one, tangent=None) if any_target else one
            title = f"{op.name} d{name}" + (f" ({options})" if options else "")
            yield Row(title, smallest(one, single=False), smallest(one, single=True))


def alone(right: Target, name: str) -> Target:
    """The target as a function of one array."""

    def forward(arrays: Gradients) -> Array:
        return right.forward({**right.arrays, **arrays})

    def backward(arrays: Gradients, dy: Array) -> Gradients:
        return {name: right.backward({**right.arrays, **arrays}, dy)[name]}

    return replace(right, arrays={name: right.arrays[name]}, forward=remembered(forward), backward=backward)


def smallest(target: Target, single: bool) -> float | None:
    """The smallest of SIZES that is seen, as are all larger ones, with every seed."""
    found = None
    for size in SIZES:
        if not all(_seen(target, size, single, seed) for seed in SEEDS):
            break
        found = size
    return found


def _seen(target: Target, size: float, single: bool, seed: int) -> bool:
    ((name, array),) = target.arrays.items()
    random = np.random.default_rng(seed)
    dy = random.standard_normal(target.forward(target.arrays).shape).astype(array.dtype)
    magnitude = np.abs(target.backward(target.arrays, dy)[name]).ravel()
    large = np.flatnonzero(magnitude >= np.median(magnitude[magnitude > 0]))
    factor = np.ones_like(array)
    factor.flat[random.choice(large) if single else slice(None)] += array.dtype.type(size)

    def backward(arrays: Gradients, dy: Array) -> Gradients:
        return {name: target.backward(arrays, dy)[name] * factor}

    return not gradcheck(replace(target, backward=backward), seed=seed).ok


def section() -> str:
    """The rows as markdown, both dtypes beside each other."""
    how = f"""
        One gradient is multiplied by 1 + ε, whole or in one element above the median magnitude. The table has the
        smallest ε of 0.1, 0.03, 0.01, … that is seen, as are all larger ones, with each of {len(SEEDS)} seeds. Under
        'any layer' the checker does without the definition of the operation, through which it takes a complex step
        otherwise: what is left are differences, exact to rounding where y is linear in the array."""
    columns = {"float64": rows(np.float64), "float64, any layer": rows(np.float64, True), "float32": rows(np.float32)}
    head = ["gradient", *(f"{what}, {column}" for column in columns for what in ("all of it", "one element"))]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for found in zip(*columns.values(), strict=True):
        cells = [_shown(size) for row in found for size in (row.whole, row.single)]
        lines.append(f"| {' | '.join([found[0].name, *cells])} |")
    return "\n\n".join(["## The smallest relative error that is seen", paragraph(how), "\n".join(lines)])


def _shown(size: float | None) -> str:
    return "none" if size is None else f"{size:.0e}".replace("e-0", "e-")


if __name__ == "__main__":
    print(section())
