"""Central differences against a layer's backward, element by element.

For a random upstream gradient dy the scalar L(v) = ⟨dy, f(v)⟩ has the gradient that backward(dy) returns; each of its
elements is compared with (L(v + h) − L(v − h)) / 2h. Works in float64, on layers as they are.
"""

from typing import NamedTuple

import numpy as np

from ..backend import Array
from ..layers import Layer

STEP = 1e-6  # near the cube root of float64's epsilon, where truncation and rounding balance
TOLERANCE = 1e-7  # of the largest element, some hundred times the error that is left at this step


class Row(NamedTuple):
    """One gradient: its name, elements checked, and the largest difference over the largest element, with its place."""

    name: str
    elements: int
    error: float
    at: tuple[int, ...]


class Report(NamedTuple):
    """What a check found; `ok` when every gradient agrees."""

    target: str
    rows: list[Row]

    @property
    def ok(self) -> bool:
        return bool(self.rows) and all(row.error <= TOLERANCE for row in self.rows)

    def text(self) -> str:
        """One line for each gradient."""
        return "\n".join(
            f"{self.target:<10} d{row.name:<7} {row.elements:>6} elements  error {row.error:.1e}"
            + ("" if row.error <= TOLERANCE else f"  WRONG at {row.at}")
            for row in self.rows
        )


def gradcheck(layer: Layer, x: Array, *, name: str = "", seed: int = 0) -> Report:
    """Check dx and the parameters' gradients of a float64 layer at x. Raises TypeError for another dtype."""
    if x.dtype != np.float64 or any(p.dtype != np.float64 for p in layer.params.values()):
        raise TypeError("gradcheck needs a float64 layer and input: in float32 differences are mostly rounding")
    dy = np.random.default_rng(seed).standard_normal(layer.forward(x, train=True).shape)
    dx = layer.backward(dy)
    gradients = {"x": dx, **{key: grad.copy() for key, grad in layer.grads.items()}}
    rows = []
    for key, array in {"x": x.copy(), **layer.params}.items():
        numeric = np.empty_like(array)
        for i in np.ndindex(array.shape):
            numeric[i] = _slope(layer, x, array, i, dy, moves_x=key == "x")
        error = np.abs(gradients[key] - numeric) / max(float(np.abs(numeric).max()), 1e-300)
        index = np.unravel_index(int(np.argmax(error)), error.shape)
        rows.append(Row(key, array.size, float(error[index]), tuple(map(int, index))))
    return Report(name or type(layer).__name__, rows)


def _slope(layer: Layer, x: Array, array: Array, index: tuple[int, ...], dy: Array, moves_x: bool) -> float:
    """(L(v + h) − L(v − h)) / 2h for one element of `array`, which is put back afterwards."""
    value, outputs = array[index], []
    for h in (STEP, -STEP):
        array[index] = value + h
        outputs.append(layer.forward(array if moves_x else x, train=True).copy())  # Flatten's is a view
    array[index] = value
    layer.cache = None
    # Outputs are subtracted before they are summed, so that what they share does not drown what they differ in.
    return float((dy * (outputs[0] - outputs[1])).sum() / (2 * STEP))
