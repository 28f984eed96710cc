"""A column of the Jacobian from differences, with an error for each entry, and its kinks.

Along one element, steps h shrink by factors of 4. At each the central difference and the two one-sided slopes are
taken for all outputs at once. Truncation shows as the change from one step to the next, rounding is the forward's
measured noise over h; each entry takes the step where their sum is least. So nobody picks a step.

A kink beside x spoils the larger steps alone, whose change from step to step tells. A kink at x leaves the central
difference steady and the one-sided slopes apart at every step: curvature would bring them together as h shrinks.
Where a layer shows its own masks or indices, a change of them at the smallest step tells as well.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..backend import Array
from .targets import Arrays

# Steps, as shares of the element's scale: in float32 small ones are all rounding, and linear functions like large ones.
STEPS = {8: (0.5, 2.0**-22), 4: (8.0, 2.0**-13)}
NOISE_SAMPLES = 6
UNRESOLVED = 1e-3  # an error beyond this share of an entry's slopes


class Moved(NamedTuple):
    """What a step leads to: the step really taken, as rounded in the array's dtype; the outputs there, flat; and for
    which of them the layer's own mask or index says that it decided otherwise."""

    taken: float
    y: Array
    otherwise: Array


class Column(NamedTuple):
    """∂y/∂v for one element v, over all outputs (flat): slope and error, and for kinks the slopes to either side."""

    slope: Array
    error: Array
    kink: Array  # bool
    low: Array
    high: Array


def ladder(itemsize: int, step: float | None = None) -> Array:
    """The steps, falling by factors of 4, that go through `step` where one is given; all ladders span the same range.

    itemsize: bytes of the numbers that are moved. Raises ValueError for a step that is not a positive finite number.
    """
    if step is not None and not (np.isfinite(step) and step > 0):
        raise ValueError(f"step must be a positive number, got {step!r}")
    largest, smallest = STEPS[max(4, min(8, itemsize))]
    over = np.log2((step or largest) / largest) / 2  # rungs above the largest step
    first = largest * 4.0 ** (over - np.ceil(over))
    return first * 4.0 ** -np.arange(np.floor(np.log2(first / smallest) / 2) + 1)


def noise_of(forward: Callable[[Arrays], Array], arrays: Arrays, seed: int) -> Array:
    """The rounding noise of every output, at least a unit in the last place of it.

    From second differences over moves of a few units in the last place, which only rounding makes differ from zero.
    """
    random, base = np.random.default_rng(seed), {name: a.copy() for name, a in arrays.items()}
    y = np.array(forward(base), np.float64).ravel()
    eps = max(np.finfo(a.dtype).eps for a in base.values())
    noise = eps * np.abs(y)
    for _ in range(NOISE_SAMPLES):
        ends = []
        moves = {n: 4 * eps * np.abs(a) * random.standard_normal(a.shape) for n, a in base.items()}
        for sign in (1, -1):
            moved = {n: (a + sign * moves[n]).astype(a.dtype) for n, a in base.items()}
            ends.append(np.array(forward(moved), np.float64).ravel())
        noise = np.maximum(noise, np.abs(ends[0] - 2 * y + ends[1]) / 2)
    forward(base)  # an object's parameters are back where they were
    # An output whose terms cancel is as noisy as its neighbours, which the few samples may miss.
    return np.maximum(noise, np.sqrt(np.mean(noise**2)))


@np.errstate(all="ignore")  # of infinite outputs
def column(along: Callable[[float], Moved], y: Array, steps: Array, noise: Array) -> Column:
    """The column along which `along(t)` moves by t."""
    right, left = [], []
    for h in steps:
        up, down = along(h), along(-h)
        right.append(((up.y - y) / up.taken, up.taken))
        left.append(((y - down.y) / -down.taken, -down.taken))
        otherwise = up.otherwise | down.otherwise  # in the end, at the smallest step
    plus, minus = (np.stack([slope for slope, _ in side]) for side in (right, left))
    h = np.array([(a[1] + b[1]) / 2 for a, b in zip(right, left, strict=True)])[:, None]
    central = (plus + minus) / 2
    rounding = noise / h
    # Richardson: central differences err by h², so a step of a quarter of it has a fifteenth of the change left over.
    better = central.copy()
    better[1:] += (central[1:] - central[:-1]) / 15
    change = np.full(central.shape, np.inf)
    change[1:] = np.abs(central[1:] - central[:-1])
    # Two estimates can agree by chance, so the change to the next step vouches as well.
    change[1:-1] = np.maximum(change[1:-1], change[2:].copy())
    change[0, (plus == 0).all(axis=0) & (minus == 0).all(axis=0)] = 0  # it never moved, not at the largest step
    total = np.where(np.isfinite(change), change + 2 * rounding, np.inf)  # a step may leave the domain
    best = total.argmin(axis=0)
    at = best, np.arange(y.size)
    # A kink that lies nearer than the steps which rounding leaves usable shows at a larger one, two before the best:
    # the first step that falls short of it still differs from the one before.
    larger = np.maximum(best - 2, 0), at[1]
    gap = np.abs(plus - minus)
    coarse = total[at] > UNRESOLVED * np.maximum(np.abs(plus), np.abs(minus))[larger]
    kink = _stays(gap, rounding, best) | otherwise
    near = ~kink & coarse & _stays(gap, rounding, larger[0])
    low, high = np.minimum(plus, minus), np.maximum(plus, minus)
    low = np.where(near, np.minimum(low[at], low[larger]), low[at])
    high = np.where(near, np.maximum(high[at], high[larger]), high[at])
    return Column(better[at], total[at], kink | near, low, high)


def _stays(gap: Array, rounding: Array, rung: Array) -> Array:
    """Whether the one-sided slopes stay apart from the step before `rung` to it, beyond rounding, as at a kink.

    They differ by h·y″ where y is smooth: by four times less at the next step.
    """
    outputs = np.arange(gap.shape[1])
    here, before = (np.maximum(rung, 1), outputs), (np.maximum(rung, 1) - 1, outputs)
    apart: Array = (gap[here] > 0.5 * gap[before]) & (gap[here] > 20 * rounding[here])
    return apart
