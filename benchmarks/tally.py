"""Counts of planted mistakes and of who sees them, and the markdown that shows them."""

from importlib.util import find_spec
from textwrap import fill

WITH_TORCH = find_spec("torch") is not None
OURS, THEIRS = "ours", "torch.autograd.gradcheck"


class Tally:
    """For each row: how many mistakes were planted, and seen by ours and by PyTorch's; who ours let pass."""

    def __init__(self, with_torch: bool = WITH_TORCH) -> None:
        self.with_torch = with_torch
        self.rows: dict[str, list[int]] = {}
        self.passed: list[str] = []

    def add(self, row: str, name: str, ours: bool, theirs: bool) -> None:
        counts = self.rows.setdefault(row, [0, 0, 0])
        for i, one in enumerate((True, ours, theirs)):
            counts[i] += one
        if not ours:
            self.passed.append(name)

    @property
    def total(self) -> list[int]:
        return [sum(counts[i] for counts in self.rows.values()) for i in range(3)]

    def table(self, head: str) -> str:
        columns = [head, "planted", f"seen by {OURS}", *([f"by {THEIRS}"] if self.with_torch else [])]
        lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        for name, counts in [*self.rows.items(), ("all", self.total)]:
            lines.append(f"| {name} | {' | '.join(map(str, counts[: len(columns) - 1]))} |")
        return "\n".join(lines)

    def listed(self) -> str:
        """The names of those that ours let pass, as a list under a sentence."""
        return "\n\n" + "\n".join(f"- {name}" for name in self.passed) if self.passed else " none."


def paragraph(text: str) -> str:
    """The text in lines of a document."""
    return fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def rates(*tallies: Tally) -> str:
    """How many were planted in all of them, and both rates, in one line."""
    planted, ours, theirs = (sum(t.total[i] for t in tallies) for i in range(3))
    shares = f"{planted} planted, {ours / planted:.2%} seen by {OURS}"
    return shares + (f", {theirs / planted:.2%} by {THEIRS}" if all(t.with_torch for t in tallies) else "")
