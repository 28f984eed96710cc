"""Files that are there as a whole or not at all, whenever the process or the machine stops."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

PARTIAL = ".partial"


def replace_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, and move it there once it is on the disk.

    Raises what `write` raises, and OSError where the disk is full or the folder cannot be written to; the file that
    was at `path` is then unchanged, and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL)
    partial.unlink(missing_ok=True)
    try:
        write(partial)
        _flush(partial)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name is on the disk only once its folder is; others cannot open a folder
        _flush(path.parent)


def same_file(source: Path, path: Path) -> None:
    """Let `path` be the file `source`, without a copy where the file system can."""

    def link(partial: Path) -> None:
        try:
            os.link(source, partial)
        except OSError:  # no hard links here: then a copy
            shutil.copyfile(source, partial)

    replace_whole(path, link)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
