"""What is made of a run's record, metrics.jsonl: curves as a picture, and events for TensorBoard."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .record import METRICS, Report


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a record in order of their steps: step, epoch, loss, lr, images_per_second, waiting, scores.

    A run that was killed and resumed from an earlier checkpoint may have written steps again: the later line stands.
    A last line that was not written whole, which is what a kill leaves, is left out. Raises ValueError for a file that
    is missing, empty or holds something else.
    """
    if not path.is_file():
        raise ValueError(f"there is no record {path}")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no record: {error}") from None
    lines.pop()  # what follows the last newline: nothing, or the start of a line
    records: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            if type(step := record["step"]) is not int:
                raise TypeError(f"its step is {str(step)[:20]}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{path}, line {number} is no line of a record: {error}") from None
        records = records if step > next(reversed(records), 0) else {s: r for s, r in records.items() if s < step}
        records[step] = record
    if not records:
        raise ValueError(f"{path} holds no step yet")
    return list(records.values())


def draw(folder: Path, title: str) -> Path:
    """Draw curves.png of a run's folder from its record. Raises ValueError where there is none."""
    from ..pictures import draw_curves  # matplotlib takes longer to load than a small epoch takes

    draw_curves(folder / "curves.png", read(folder / METRICS), title)
    return folder / "curves.png"


def need_tensorboard() -> None:
    """Raises ValueError where the optional extra is not installed."""
    if find_spec("tensorboardX") is None:
        raise ValueError("TensorBoard events need the extra: pip install 'alexnet-np[tensorboard]'")


@contextmanager
def tensorboard(folder: Path, step: int = 0) -> Iterator[Callable[[Report], None]]:
    """Events for TensorBoard in folder/tensorboard, from each report of the loop that is handed to what this gives.

    step: where the run is resumed from; TensorBoard forgets what was written beyond it. The file is whole when the
    block ends, and a few seconds behind until then. Raises ValueError where the optional extra is not installed.
    """
    need_tensorboard()
    writer: Any = None

    def tell(report: Report) -> None:
        nonlocal writer
        if writer is None:  # not before there is something to write
            from tensorboardX import SummaryWriter

            writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None, flush_secs=10)
        values = {f"train/{name}": getattr(report, name) for name in ("loss", "lr", "images_per_second", "waiting")}
        if report.scores:
            values |= {f"held_out/{name}": getattr(report.scores, name) for name in ("loss", "top1", "top5")}
        for name, value in values.items():
            writer.add_scalar(name, value, report.step)

    try:
        yield tell
    finally:
        if writer:
            writer.close()
