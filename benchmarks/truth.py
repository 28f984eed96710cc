"""What a timed call should have computed: the same in float64, and how far off its float32 results are.

At AlexNet's shapes the definitions would take minutes, so a kernel runs in their place, in float64, one that the
conformance test holds against the definition: cpu_numpy's, and for convolution the columns around BLAS, which add up
the definition's own products. Winograd's tiles are never the judge.
"""

from typing import Any

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.conformance import relative_error
from alexnet_np.dispatch import Op, use
from alexnet_np.ops.cases import named_outputs

BOUND = 2e-5  # of the largest value: what a kernel that is chosen by default may be off by
CONVOLUTION = "cpu_numba/columns"


def wide(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
    """Copies of the arrays, floats as float64."""
    return tuple(a.astype(np.float64) if a.dtype.kind == "f" else a.copy() for a in arrays)


def truth(op: Op, arrays: tuple[Array, ...], keywords: dict[str, Any]) -> dict[str, Array]:
    """The outputs by name, and what is overwritten, in float64."""
    given = wide(arrays)
    with use(**{op.name: CONVOLUTION if op.name.startswith("conv2d") else "cpu_numpy"}):
        returned = op(*given, **keywords)
    written = {n: a for n, a in zip(op.inputs, given, strict=True) if n in op.inplace}
    return {**written, **(named_outputs(op, returned) if op.returns else {})}


def off_by(got: dict[str, Array], expected: dict[str, Array]) -> tuple[float, str]:
    """The largest relative error of those outputs that were got, and what is wrong of them: '' where nothing is.

    Integers must be equal: an index that differs counts as an infinite error.
    """
    worst = 0.0
    wrong: list[str] = []
    for name, array in got.items():
        true = np.asarray(expected[name])
        if array.shape != true.shape:
            error, why = float("inf"), f"{name} has shape {array.shape}, expected {true.shape}"
        elif true.dtype.kind in "iu":
            different = int((array != true).sum())
            error, why = (float("inf"), f"{different:,} of {name} differ") if different else (0.0, "")
        else:
            error = relative_error(array, true)
            why = "" if error <= BOUND else f"{name} is off by {error:.1e} of its largest value, allowed are {BOUND:g}"
        worst, wrong = max(worst, error), wrong + [why] * bool(why)
    return worst, "; ".join(wrong)
