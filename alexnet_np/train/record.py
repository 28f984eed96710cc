"""metrics.jsonl: one line of JSON for each step of a run, in a file that a resumed run goes on with."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from ..whole_files import replace_text
from .evaluation import Scores

METRICS = "metrics.jsonl"


class Report(NamedTuple):
    """What the loop tells after a step.

    step, steps        steps done, and in all
    epoch              from 0
    loss               before the step's update; lr: that it used
    images_per_second  since the epoch began or was resumed
    waiting            the share of that time in which the step waited for images
    scores             on the held-out images, after an epoch
    """

    step: int
    steps: int
    epoch: int
    loss: float
    lr: float
    images_per_second: float
    waiting: float
    scores: Scores | None


class Record:
    """Appends reports to the file, after dropping what a killed run wrote beyond the step that is resumed from.

    Raises ValueError where a line is no JSON; the last one may be cut off, as a kill leaves it.
    """

    def __init__(self, folder: Path, after: int) -> None:
        self.path = folder / METRICS
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = []
        for number, line in enumerate(lines, 1):
            try:
                if json.loads(line)["step"] <= after:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError, RecursionError):
                if number < len(lines):
                    raise ValueError(f"{self.path}, line {number}, is no step of a run; move the file away") from None
        replace_text(self.path, "".join(kept))

    def append(self, report: Report) -> None:
        entry: dict[str, Any] = report._asdict()
        if scores := report.scores:
            entry["scores"] = scores.summary()
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise OSError(f"cannot write {self.path}: {error.strerror}") from None
