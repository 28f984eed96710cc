"""The table that `caffe time` prints, of a timeline: each layer's milliseconds in a mean step."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .profile import Timeline

PARTS = "data", "forward", "loss", "backward", "update"  # what a step is made of, in order


class Event(NamedTuple):
    """Something that took from `start` to `end`, in nanoseconds. `step` counts from 1; None: no part of a step."""

    name: str
    category: str  # step, one of PARTS, or evaluate
    start: int
    end: int
    step: int | None
    args: dict[str, Any]

    @property
    def ms(self) -> float:
        return (self.end - self.start) / 1e6


class Row(NamedTuple):
    """A layer's milliseconds in a mean step."""

    name: str
    kind: str
    forward: float
    backward: float


def averages(timeline: "Timeline") -> tuple[list[Row], dict[str, float], int]:
    """Each layer's times, those of a step and its parts (milliseconds), and the number of steps they are means of.

    The first step, which also draws the weights and warms the caches, is left out where there are others.
    Raises ValueError where no step was profiled.
    """
    whole = [event for event in timeline.events if event.category == "step"]
    if not whole:
        raise ValueError("no training step was profiled")
    counted = {event.step for event in whole[1:] or whole}
    layers: dict[tuple[str, str], float] = defaultdict(float)
    parts: dict[str, float] = dict.fromkeys((*PARTS, "step"), 0.0)
    for event in timeline.events:
        if event.step in counted:
            if event.name in timeline.kinds:
                layers[event.name, event.category] += event.ms / len(counted)
            else:
                parts[event.category] += event.ms / len(counted)
    rows = [Row(name, kind, layers[name, "forward"], layers[name, "backward"]) for name, kind in timeline.kinds.items()]
    if timeline.planned:  # a row for each stage; for a layer only where a batch did not fit the plan
        rows = [row for row in rows if row.forward or row.backward]
    return rows, parts, len(counted)


def table(timeline: "Timeline") -> str:
    """Mean milliseconds of each layer's forward and backward and of the rest of a step, and their shares of it."""
    rows, parts, steps = averages(timeline)
    other = parts["step"] - sum(parts[name] for name in PARTS)
    forward, backward = parts["forward"], parts["backward"]
    cells: list[tuple[str, ...]] = [("layer", "", "forward", "backward", "total", "share")]
    cells += [_cells(*row, row.forward + row.backward, parts["step"]) for row in rows]
    totals = [
        _cells("network", "", forward, backward, forward + backward, parts["step"]),
        *(_cells(name, "", None, None, parts[name], parts["step"]) for name in ("loss", "update") if parts[name]),
        _cells("wait for data", "", None, None, parts["data"], parts["step"]),
        _cells("between them", "", None, None, other, parts["step"]),
        _cells("step", "", None, None, parts["step"], parts["step"]),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, *totals, strict=True)]
    lines = ["  ".join(_align(row, widths)) for row in (*cells, *totals)]
    rule = "─" * len(lines[0])
    lines = [lines[0], rule, *lines[1 : len(cells)], rule, *lines[len(cells) :]]
    which = f"{steps} steps after the first" if steps < timeline.done else f"{steps} step" + "s" * (steps > 1)
    update = "; a backward ends with the update" if timeline.planned else ""
    speed = 1000 * timeline.batch / parts["step"]
    return "\n".join(
        [
            f"{timeline.model.title}, mean of {which}, batch {timeline.batch}, milliseconds{update}",
            *lines,
            f"{speed:,.1f} images/s",
        ]
    )


def _cells(
    name: str, kind: str, forward: float | None, backward: float | None, total: float, step: float
) -> tuple[str, ...]:
    return name, kind, *("" if ms is None else f"{ms:.2f}" for ms in (forward, backward, total)), f"{total / step:.1%}"


def _align(cells: tuple[str, ...], widths: list[int]) -> list[str]:
    return [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))]
