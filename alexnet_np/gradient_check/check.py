"""The verdict: analytic gradients against numeric ones, element by element, with kinks bracketed entry by entry.

For a random dy, backward gives Σ_o dy[o] · ∂y[o]/∂v. Where no output has a kink at x along v, that sum is compared with
the numeric one, within the numeric error. An output with a kink there has no derivative: its own row of the Jacobian is
fetched with a dy of one entry, which must lie between the one-sided slopes; the rest of the sum is compared as before.
Elements that tie for one output are moved together as well: their shares must sum to what the output then does.
"""

from typing import Any, NamedTuple

import numpy as np

from ..backend import Array
from .numeric import Column, column, noise_of
from .targets import Target, target_of
from .words import describe

SAFETY = 8  # times the numeric error that a difference may have; the errors are estimates
COARSE = 1e-3  # a numeric error beyond this share of the gradient and of its terms cannot decide anything
UNDECIDED = 1e-3  # share of elements that may be left so


class Row(NamedTuple):
    """One gradient: elements in all and by class, and the worst one, with its share of its bound (above 1: wrong)."""

    name: str
    elements: int
    smooth: int
    bracketed: int
    undecided: int
    excess: float
    at: tuple[int, ...]
    analytic: float
    numeric: float
    bound: float
    words: str

    @property
    def checked(self) -> int:
        return self.smooth + self.bracketed + self.undecided

    @property
    def ok(self) -> bool:
        return self.excess <= 1 and self.undecided <= UNDECIDED * self.checked


class Report(NamedTuple):
    """What a check found; `ok` when every gradient agrees."""

    target: str
    rows: list[Row]
    faults: list[str]

    @property
    def ok(self) -> bool:
        return bool(self.rows) and not self.faults and all(row.ok for row in self.rows)

    def text(self) -> str:
        """One line for each gradient, and one for each thing wrong beside them."""
        lines, pad = [], max(10, len(self.target))
        width = max([7, *(len(row.name) for row in self.rows)])
        for row in self.rows:
            kinds = ", ".join(
                f"{count} {kind}"
                for kind, count in (("bracketed", row.bracketed), ("undecided", row.undecided))
                if count
            )
            line = f"{self.target:<{pad}} d{row.name:<{width}} {row.checked:>5} of {row.elements:>6} elements"
            line += f", {kinds}" if kinds else ""
            if row.excess > 1:
                line += f"  WRONG at {row.at}: {row.analytic:.6g}, differences give {row.numeric:.6g} ± {row.bound:.1g}"
                line += f": {row.words}" if row.words else ""
            elif not row.ok:
                line += "  UNDECIDED: the numeric error is too large to tell"
            lines.append(line)
        return "\n".join([*lines, *(f"{self.target:<{pad}} {fault}" for fault in self.faults)])

    def json(self) -> dict[str, Any]:
        """The same as plain values."""
        rows = [{**row._asdict(), "checked": row.checked, "ok": row.ok} for row in self.rows]
        return {"target": self.target, "ok": self.ok, "gradients": rows, "faults": self.faults}


def gradcheck(
    target: Any, *inputs: Array, name: str = "", seed: int = 0, elements: int = 2000, **keywords: Any
) -> Report:
    """Check the backward of an operation, a layer, a network, a pair (forward, backward), or any object with both.

    inputs: the arrays that forward takes; floating ones are differentiated. keywords: an operation's own.
    elements: how many of each array are checked, drawn at random where it has more. Raises TypeError for a target that
    cannot be called, and what the target itself raises.
    """
    found = target_of(target, inputs, keywords)
    return _Checker(found, name or found.name, seed).report(elements)


def assert_gradients(target: Any, *inputs: Array, **options: Any) -> None:
    """gradcheck for a test of your own: raises AssertionError with the report where a gradient is wrong."""
    report = gradcheck(target, *inputs, **options)
    if not report.ok:
        raise AssertionError(f"wrong gradients\n{report.text()}")


class _Checker:
    def __init__(self, target: Target, name: str, seed: int) -> None:
        self.target, self.name, self.seed = target, name, seed
        self.random = np.random.default_rng(seed)
        self.arrays = target.arrays
        y = np.array(target.forward(self.arrays))
        self.shape, self.dtype = y.shape, y.dtype
        self.y = y.astype(np.float64).ravel()
        self.noise = noise_of(target.forward, self.arrays, seed)
        self.rows_of_jacobian: dict[int, dict[str, Array]] = {}

    def report(self, elements: int) -> Report:
        dy = self.random.standard_normal(self.shape) if self.target.upstream else np.ones(self.shape)
        dy = dy.astype(self.dtype)
        gradients, faults = self._backward(dy)
        rows = []
        for key, array in self.arrays.items():
            gradient = gradients.get(key)
            if gradient is None or gradient.shape != array.shape:
                faults.append(f"d{key} has shape {getattr(gradient, 'shape', None)}, expected {array.shape}")
            else:
                rows.append(self._row(key, array, gradient.astype(np.float64), dy.astype(np.float64).ravel(), elements))
        return Report(self.name, rows, faults)

    def _backward(self, dy: Array) -> tuple[dict[str, Array], list[str]]:
        """Gradients, and what is wrong with the call beside them."""
        given, kept, faults = dy.copy(), {key: a.copy() for key, a in self.arrays.items()}, []
        gradients = self.target.backward(self.arrays, given)
        again = self.target.backward(self.arrays, dy.copy())
        if not np.array_equal(given, dy):
            faults.append("backward changes the upstream gradient")
        for key, before in kept.items():
            if not np.array_equal(before, self.arrays[key]):
                faults.append(f"{key} is changed")
            if key in gradients and not np.array_equal(gradients[key], again[key], equal_nan=True):
                faults.append(f"d{key} differs from one backward to the next: accumulated, or not deterministic")
            if key in gradients and gradients[key].dtype != before.dtype:
                faults.append(f"d{key} is {gradients[key].dtype}, {key} is {before.dtype}")
        return {key: np.array(g) for key, g in gradients.items()}, faults

    def _row(self, key: str, array: Array, gradient: Array, dy: Array, elements: int) -> Row:
        chosen = np.sort(self.random.permutation(array.size)[:elements])
        largest = float(np.abs(gradient).max()) or 1.0
        counts = {"smooth": 0, "bracketed": 0, "undecided": 0}
        worst, compared = (-1.0, 0, 0.0, 0.0, 0.0), []
        tied: dict[int, list[int]] = {}
        for i in map(int, chosen):
            numeric = self._column(key, [i])
            analytic = float(gradient.flat[i])
            kinks = np.flatnonzero(numeric.kink & (dy != 0))
            excess = 0.0
            for o in map(int, kinks):
                entry = float(self._jacobian(o)[key].flat[i])
                room = SAFETY * float(numeric.error[o]) + 1e-6 * largest
                beyond = max(float(numeric.low[o]) - entry, entry - float(numeric.high[o]))
                excess = max(excess, beyond / room)
                analytic -= float(dy[o]) * entry
                tied.setdefault(o, []).append(i)
            smooth = np.where(numeric.kink, 0.0, dy)
            expected = float(smooth @ np.where(numeric.kink, 0.0, numeric.slope))
            # Errors of different outputs do not conspire: their squares add up.
            error = float(np.linalg.norm(smooth * np.where(numeric.kink, 0.0, numeric.error)))
            bound = SAFETY * error + 64 * np.finfo(array.dtype).eps * largest
            excess = max(excess, abs(analytic - expected) / bound) if np.isfinite(analytic) else np.inf
            # By chance the terms may cancel; what differences can resolve is a share of the terms themselves.
            terms = float(np.linalg.norm(smooth * np.where(numeric.kink, 0.0, numeric.slope)))
            kind = "bracketed" if len(kinks) else "undecided" if error > COARSE * max(largest, terms) else "smooth"
            counts[kind] += 1
            compared.append((i, analytic, expected, bound))
            if excess > worst[0]:
                worst = (excess, i, analytic, expected, bound)
        for o, members in tied.items():
            if len(members) > 1 and (found := self._together(key, o, members, largest)) and found[0] > worst[0]:
                worst = found
        at = tuple(map(int, np.unravel_index(worst[1], array.shape)))
        places, *values = (np.array(column) for column in zip(*compared, strict=True))
        words = describe(array.shape, places, *values) if worst[0] > 1 else ""
        classes = counts["smooth"], counts["bracketed"], counts["undecided"]
        return Row(key, array.size, *classes, worst[0], at, *worst[2:], words)

    def _together(
        self, key: str, o: int, members: list[int], largest: float
    ) -> tuple[float, int, float, float, float] | None:
        """Move the elements that tie for output o as one: the sum of their shares against what the output does."""
        numeric = self._column(key, members)
        if numeric.kink[o]:
            return None
        share = float(sum(self._jacobian(o)[key].flat[i] for i in members))
        bound = SAFETY * float(numeric.error[o]) + 1e-6 * largest
        return abs(share - float(numeric.slope[o])) / bound, members[0], share, float(numeric.slope[o]), bound

    def _jacobian(self, o: int) -> dict[str, Array]:
        if o not in self.rows_of_jacobian:
            one = np.zeros(self.y.size, self.dtype)
            one[o] = 1
            self.rows_of_jacobian[o] = {
                key: np.array(g) for key, g in self.target.backward(self.arrays, one.reshape(self.shape)).items()
            }
        return self.rows_of_jacobian[o]

    def _column(self, key: str, members: list[int]) -> Column:
        array, i = self.arrays[key], members[0]
        values = array.flat[members].copy()
        scale = max(float(np.abs(values[0])), float(np.sqrt(np.mean(array.astype(np.float64) ** 2)))) or 1.0

        def along(t: float) -> tuple[float, Array]:
            array.flat[members] = values + array.dtype.type(t)
            taken = float(array.flat[i]) - float(values[0])
            y = np.array(self.target.forward(self.arrays), np.float64).ravel()
            array.flat[members] = values
            return taken, y

        return column(along, self.y, scale, self.noise)
