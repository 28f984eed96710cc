"""The checkpoints of a run's folder: the last few, and the best.

step-00000500.safetensors …   the last `keep`
last.safetensors              the newest of them: the same file under a second name
best.safetensors              that with the highest top-1 on the held-out images
"""

from pathlib import Path
from typing import TYPE_CHECKING

from ..whole_files import PARTIAL, remove, same_file
from .checkpoint import numbered, save

if TYPE_CHECKING:
    from .run import Run

LAST, BEST = "last.safetensors", "best.safetensors"


def newest(folder: Path) -> Path:
    """A folder's newest checkpoint, there or not; a kill right after the first was written leaves it unnamed."""
    last = folder / LAST
    return last if last.exists() else next(iter(numbered(folder).values()), last)


class Series:
    """Writes a run's checkpoints to its folder. Raises OSError where it cannot; those that were there then stay."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        for left in folder.glob(f".*{PARTIAL}"):  # of a process that was killed while it wrote
            remove(left)

    def save(self, run: "Run", best: bool = False) -> None:
        """Write a checkpoint; then those go that are no longer among the last.

        A run goes on from the last one. So its name comes after the best one's: what a kill between them left undone is
        then done again.
        """
        path = self.folder / f"step-{run.model.iteration:08}.safetensors"
        save(path, run)
        if best:
            same_file(path, self.folder / BEST)
        same_file(path, self.folder / LAST)
        self.tidy(run.model.iteration)

    def tidy(self, step: int) -> None:
        """Remove the checkpoints that are no longer among the last at a step.

        What lies beyond it is of a run that was gone back from; it goes when this one gets there.
        """
        for old in [p for at, p in numbered(self.folder).items() if at <= step][self.keep :]:
            old.unlink()
