"""Two records side by side: SAME, FASTER, SLOWER or UNCLEAR for everything that both of them timed.

The rule. Every time is first divided by that of the roof measured in the same round (the copy or the GEMM, whichever
is nearer), so that a slower machine or a busier hour is no slower kernel. Of these quotients each record's rounds are
drawn again with replacement, DRAWS times, and the median taken: that is its noise. The change is the second median over
the first, and its interval holds 95 % of the draws.

    FASTER   the whole interval is below 1 − TOLERANCE
    SLOWER   the whole interval is above 1 + TOLERANCE
    SAME     the whole interval is within 1 ± 2 · TOLERANCE, and it is neither
    UNCLEAR  everything else: the noise is larger than what is to be told; measure more rounds
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from alexnet_np.backend import Array

from .record import Measured, Record, Row

TOLERANCE = 0.03
DRAWS = 2000
LEAST = 3  # rounds without which there is no noise to tell


class Change(NamedTuple):
    """`ratio` is the second time over the first, both as multiples of the roof; noises are half of 95 % intervals."""

    name: str
    verdict: str
    ratio: float
    low: float
    high: float
    noise: tuple[float, float]

    def __str__(self) -> str:
        before, after = (f"±{n:.1%}" for n in self.noise)
        return (
            f"{self.verdict:8}{self.name}: {self.ratio:.3f} of the time ({self.low:.3f} … {self.high:.3f}), "
            f"noise {before} and {after}"
        )


def compare(first: Record, second: Record) -> Iterator[Change | str]:
    """A change for each that both records timed, and a line for each that only one of them did.

    Raises ValueError where they have nothing in common.
    """
    before, after = _timed(first), _timed(second)
    if not before.keys() & after.keys():
        raise ValueError("the two records have no row in common")
    for name, (row, measured) in before.items():
        if name in after:
            yield change(name, quotients(row, measured), quotients(*after[name]))
        else:
            yield f"{'GONE':8}{name}: only in the first"
    yield from (f"{'NEW':8}{name}: only in the second" for name in after if name not in before)


def _timed(record: Record) -> dict[str, tuple[Row, Measured]]:
    return {f"{row.name}, {name}": (row, m) for row in record.rows for name, m in row.measured.items()}


def quotients(row: Row, measured: Measured) -> Array:
    """Of each round: its time over that of the roof in the same round. Above 1: below the roof."""
    rates = np.array(row.roofs.gemm if row.limit == "GEMM" else row.roofs.copy)
    least = (row.flops if row.limit == "GEMM" else row.bytes) / rates
    seconds = np.array(measured.seconds)
    rounds = min(len(seconds), len(least))
    return seconds[:rounds] / least[:rounds]


def change(name: str, before: Array, after: Array) -> Change:
    """The verdict by the rule above, from the quotients of the rounds."""
    medians = [_medians(before, seed=0), _medians(after, seed=1)]
    ratio = float(np.median(after) / np.median(before))
    low, high = map(float, np.percentile(medians[1] / medians[0], (2.5, 97.5)))
    noise = tuple(float(np.ptp(np.percentile(m, (2.5, 97.5))) / 2 / np.median(m)) for m in medians)
    if min(len(before), len(after)) < LEAST:
        verdict = "UNCLEAR"
    elif high < 1 - TOLERANCE:
        verdict = "FASTER"
    elif low > 1 + TOLERANCE:
        verdict = "SLOWER"
    elif low >= 1 - 2 * TOLERANCE and high <= 1 + 2 * TOLERANCE:
        verdict = "SAME"
    else:
        verdict = "UNCLEAR"
    return Change(name, verdict, ratio, low, high, (noise[0], noise[1]))


def _medians(values: Array, seed: int) -> Array:
    return np.median(np.random.default_rng(seed).choice(values, (DRAWS, len(values))), axis=1)
