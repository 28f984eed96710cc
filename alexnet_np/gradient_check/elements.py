"""A gradient against differences, element by element, with kinks bracketed entry by entry of the Jacobian.

For a random dy, backward gives Σ_o dy[o] · ∂y[o]/∂v. Where no output has a kink at x along v, that sum is compared with
the numeric one, within the numeric error; where the Jacobian is small, each of its entries too. An output with a kink
there has no derivative: its own row of the Jacobian is fetched with a dy of one entry, which must lie between the
one-sided slopes; the rest of the sum is compared as before. Elements that tie for one output are moved together as
well: their shares must sum to what the output then does.
"""

from typing import Any, NamedTuple

import numpy as np

from ..backend import Array
from .numeric import Column
from .probe import Probe
from .report import Compared
from .targets import Arrays

SAFETY = 8  # times the numeric error that a difference may have; the errors are estimates
COARSE = 1e-3  # a numeric error beyond this share of the gradient and of its terms cannot decide anything
ROUNDINGS = 64  # eps of the largest element that a gradient's own rounding may come to
FULL = 20_000  # entries of a Jacobian that is compared whole
OUTPUTS = 256  # rows of it, each one backward


class Worst(NamedTuple):
    """A comparison: its difference as a share of the bound, and what was compared."""

    excess: float
    oracle: str
    i: int  # flat; −1 for a direction
    analytic: float
    numeric: float
    error: float
    bound: float


def share(difference: float, bound: float) -> float:
    """The difference as a share of its bound; infinite for what is not a number."""
    return difference / bound if np.isfinite(difference) else np.inf


class Jacobian:
    """Rows of the Jacobian as backward has them, kept where the chosen elements are."""

    def __init__(self, probe: Probe, chosen: dict[str, Array]) -> None:
        self.probe, self.chosen = probe, chosen
        self.rows: dict[int, Arrays] = {}
        entries = probe.y.size * sum(map(len, chosen.values()))
        all_chosen = all(len(at) == probe.arrays[key].size for key, at in chosen.items())
        self.whole = all_chosen and probe.y.size <= OUTPUTS and entries <= FULL

    def row(self, o: int) -> Arrays:
        """By array, the entries of the chosen elements, float64."""
        if o not in self.rows:
            full = self.probe.row(o)
            self.rows[o] = {key: full[key].astype(np.float64).flat[at] for key, at in self.chosen.items()}
        return self.rows[o]

    def columns(self, key: str) -> Array:
        """All rows of a small one: (outputs, elements of the array)."""
        return np.stack([self.row(o)[key] for o in range(self.probe.y.size)])


def compare(probe: Probe, jacobian: Jacobian, key: str, gradient: Array, dy: Array) -> tuple[Worst, Compared]:
    """The worst comparison of a gradient, float64 and of its array's shape, for the upstream gradient dy, flat."""
    chosen, eps = jacobian.chosen[key], float(np.finfo(probe.arrays[key].dtype).eps)
    finite = np.abs(gradient[np.isfinite(gradient)])
    largest = float(finite.max(initial=0)) or 1.0
    entries = jacobian.columns(key) if jacobian.whole else np.empty((0, len(chosen)))
    rounding = ROUNDINGS * eps * (float(np.abs(entries[np.isfinite(entries)]).max(initial=0)) or 1.0)
    worst = Worst(-1.0, "differences", 0, 0.0, 0.0, 0.0, 0.0)
    compared: list[tuple[Any, ...]] = []
    tied: dict[int, list[int]] = {}
    for n, i in enumerate(map(int, chosen)):
        numeric = probe.element(key, [i])
        analytic = float(gradient.flat[i])
        kinks = np.flatnonzero(numeric.kink & (dy != 0))
        for o in map(int, kinks):
            entry = float(jacobian.row(o)[key][n])
            room = SAFETY * float(numeric.error[o]) + 1e-6 * largest
            low, high = float(numeric.low[o]), float(numeric.high[o])
            excess = share(max(low - entry, entry - high), room)
            nearest = min(max(entry, low), high)
            worst = max(worst, Worst(excess, "slopes to either side", i, entry, nearest, room / SAFETY, room))
            analytic -= float(dy[o]) * entry
            tied.setdefault(o, []).append(n)
        if jacobian.whole:
            worst = max(worst, _entry(entries[:, n], numeric, i, rounding))
        smooth = np.where(numeric.kink, 0.0, dy)
        terms = smooth * np.where(numeric.kink, 0.0, numeric.slope)
        expected = float(terms.sum())
        # Errors of different outputs do not conspire: their squares add up.
        error = float(np.linalg.norm(smooth * np.where(numeric.kink, 0.0, numeric.error)))
        bound = SAFETY * error + ROUNDINGS * eps * largest
        worst = max(
            worst, Worst(share(abs(analytic - expected), bound), "differences", i, analytic, expected, error, bound)
        )
        # By chance the terms may cancel; what differences can resolve is a share of the terms themselves.
        coarse = error > COARSE * max(largest, float(np.linalg.norm(terms)))
        kind = "bracketed" if len(kinks) else "undecided" if coarse else "smooth"
        compared.append((i, analytic, expected, bound, kind))
    for o, members in tied.items():
        if len(members) > 1:
            worst = max(worst, _together(probe, jacobian, key, o, members, largest))
    return worst, Compared(*(np.array(values) for values in zip(*compared, strict=True)))


def _entry(entries: Array, numeric: Column, i: int, rounding: float) -> Worst:
    """The worst entry of a column of the Jacobian, away from kinks."""
    bounds = SAFETY * numeric.error + rounding
    shares = np.where(np.isfinite(entries), np.abs(entries - numeric.slope) / bounds, np.inf)
    shares[numeric.kink] = -1.0
    o = int(shares.argmax())
    values = float(entries[o]), float(numeric.slope[o]), float(numeric.error[o]), float(bounds[o])
    return Worst(float(shares[o]), f"differences for output {o} alone", i, *values)


def _together(probe: Probe, jacobian: Jacobian, key: str, o: int, members: list[int], largest: float) -> Worst:
    """Move the elements that tie for output o as one: the sum of their shares against what the output does."""
    places = [int(jacobian.chosen[key][n]) for n in members]
    numeric = probe.element(key, places)
    shares = float(jacobian.row(o)[key][members].sum())
    slope, error = float(numeric.slope[o]), float(numeric.error[o])
    bound = SAFETY * error + 1e-6 * largest
    excess = -1.0 if numeric.kink[o] else share(abs(shares - slope), bound)
    return Worst(excess, f"{len(members)} tied elements moved together", places[0], shares, slope, error, bound)
