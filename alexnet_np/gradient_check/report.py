"""What a check found: a row for each gradient, faults beside them, and remarks; as text and as plain values."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend import Array

KINDS = ("smooth", "bracketed", "undecided")
UNDECIDED = 1e-3  # share of elements that may be left so
COLOURS = {"wrong": "\x1b[1;31m", "undecided": "\x1b[33m", "right": ""}


@dataclass(frozen=True)
class Compared:
    """The elements that were compared: their places (flat), both values, what they may differ by, and their class."""

    places: Array
    analytic: Array
    numeric: Array
    bound: Array
    kinds: Array  # of KINDS


@dataclass(frozen=True)
class Row:
    """One gradient: elements in all and by class, and the worst comparison, with its share of its bound (above 1:
    wrong), the oracle that made it, and the error of the numeric value as that estimates it."""

    name: str
    shape: tuple[int, ...]
    smooth: int
    bracketed: int
    undecided: int
    excess: float
    oracle: str
    at: tuple[int, ...]  # empty where the whole array moved
    analytic: float
    numeric: float
    error: float
    bound: float
    words: str
    judged: tuple[str, ...] = ()  # the oracles that were asked, beside the elements
    compared: Compared | None = field(default=None, repr=False, compare=False)

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape))

    @property
    def checked(self) -> int:
        return self.smooth + self.bracketed + self.undecided

    @property
    def verdict(self) -> str:
        if not self.excess <= 1:
            return "wrong"
        return "undecided" if self.undecided > UNDECIDED * self.checked else "right"

    @property
    def ok(self) -> bool:
        return self.verdict == "right"

    def line(self, target: str, width: int) -> str:
        kinks = [f"{n} {kind}" for kind, n in (("bracketed", self.bracketed), ("undecided", self.undecided)) if n]
        counts = ", ".join([f"{self.checked:>5} of {self.elements:>6} elements", *kinks, *self.judged])
        line = f"{target} d{self.name:<{width}} {counts}"
        if self.verdict == "undecided":
            return f"{line}  UNDECIDED: the numeric error is too large to tell; float64 tells more than float32"
        if self.verdict == "right":
            return line
        where = f"at {self.at}" if self.at else "along a random direction"
        analytic, numeric = _told_apart(self.analytic, self.numeric)
        line += f"  WRONG {where}: {analytic}, {self.oracle}: {numeric} ± {self.bound:.1g}"
        return line + (f": {self.words}" if self.words else "")

    def json(self) -> dict[str, Any]:
        """Plain values; the compared elements are left to the page."""
        kept = {k: v for k, v in vars(self).items() if k != "compared"}
        counts = {"elements": self.elements, "checked": self.checked}
        finite = {k: v if not isinstance(v, float) or np.isfinite(v) else str(v) for k, v in kept.items()}
        return {**finite, **counts, "verdict": self.verdict, "ok": self.ok}


def _told_apart(a: float, b: float) -> tuple[str, str]:
    """Both with as many digits as it takes to see that they differ, and at least six."""
    digits = next((n for n in range(6, 17) if f"{a:.{n}g}" != f"{b:.{n}g}"), 17)
    return f"{a:.{digits}g}", f"{b:.{digits}g}"


@dataclass(frozen=True)
class Report:
    """What a check found; `ok` when every gradient agrees and nothing else is wrong.

    faults     what is wrong beside the gradients' values
    remarks    what was tried and refused, or could not be tried, and why
    slope      of the Taylor remainder (2 if the gradient is right, 1 if not); None where it cannot be seen
    seed       of all that was random
    command    what repeats the check on the command line, where it came from there
    """

    target: str
    rows: list[Row]
    faults: list[str]
    remarks: list[str] = field(default_factory=list)
    slope: float | None = None
    seed: int = 0
    command: str = ""

    @property
    def ok(self) -> bool:
        return bool(self.rows) and not self.faults and all(row.ok for row in self.rows)

    def lines(self, remarks: bool = False) -> list[tuple[str, str]]:
        """(verdict, line): one for each gradient, one for each fault, and for each remark if asked."""
        title = f"{self.target:<10}"
        width = max([7, *(len(row.name) for row in self.rows)])
        lines = [(row.verdict, row.line(title, width)) for row in self.rows]
        lines += [("wrong", f"{title} {fault}") for fault in self.faults]
        if remarks:
            lines += [("right", f"{title} {remark}") for remark in self.remarks]
        return lines

    def text(self, colour: bool = False, remarks: bool = False) -> str:
        """The lines as one text; `colour` marks what is wrong for a terminal."""
        lines = self.lines(remarks)
        if not colour:
            return "\n".join(line for _, line in lines)
        return "\n".join(f"{COLOURS[kind]}{line}\x1b[0m" if COLOURS[kind] else line for kind, line in lines)

    def json(self) -> dict[str, Any]:
        """The same as plain values, for json.dumps."""
        kept = {k: v for k, v in vars(self).items() if k != "rows"}
        return {**kept, "ok": self.ok, "gradients": [row.json() for row in self.rows]}

    def html(self) -> str:
        """The same as one self-contained page, with maps of the gradients and of their errors."""
        from .page import page

        return page([self])
