"""What `alexnet-np bench` shows: a benchmark as it is made, a stored one, two beside each other, a user's kernel."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from alexnet_np.terminal import say
from alexnet_np.whole_files import try_writing

from . import bench, plots, record, table, user_kernels
from .compare import Change, compare
from .operation_rows import RAISES
from .record import Row

VERDICT_STYLES = {"FASTER": "green", "SLOWER": "bold red", "UNCLEAR": "yellow"}


def measure(wanted: bench.Wanted, out: Path | None, resume: Path | None, again: float) -> None:
    """Time what is wanted, row by row, and write record and pictures."""
    path = resume or out or bench.default_path()
    try_writing(path)
    made = bench.run(wanted, path, _show_row, resume is not None, again)
    say(f"wrote {path} and {', '.join(str(picture) for picture in plots.draw(made, path))}")


def _show_row(row: Row) -> None:
    say(table.row_text(row) + "\n")


def show(path: Path) -> None:
    """The table of a stored record."""
    say(table.text(record.read(path)))


def show_comparison(first: Path, second: Path) -> None:
    """A line for each that both records timed, and how many of each verdict there are."""
    counts: dict[str, int] = {}
    for change in compare(record.read(first), record.read(second)):
        verdict = change.verdict if isinstance(change, Change) else "in one only"
        counts[verdict] = counts.get(verdict, 0) + 1
        say(str(change), VERDICT_STYLES.get(verdict))
    say(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


def show_kernels(files: Sequence[Path], wanted: bench.Wanted) -> bool:
    """Conformance of the user's kernels and, of those that conform, their speed; whether all are right."""
    verdicts = [user_kernels.conforms(op, key) for op, key in user_kernels.load(tuple(files))]
    for verdict in verdicts:
        say(str(verdict), "bold red" if verdict.wrong else None)
    right = not any(verdict.wrong for verdict in verdicts)
    keys = {verdict.op.name: verdict.key for verdict in verdicts if not verdict.wrong}
    wanted = replace(wanted, only=("ops",), ops=tuple(keys))
    if keys:
        for row in bench.rows(wanted):
            say("\n" + table.row_text(row))
            for key in (v.key for v in verdicts if v.op.name == row.op and not v.wrong):
                say("\n".join(user_kernels.lines(row, key)))
                right &= not (row.measured[key].wrong if key in row.measured else RAISES in row.absent.get(key, ""))
    return right
