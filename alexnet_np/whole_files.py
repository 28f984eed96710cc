"""Files that are there as a whole or not at all, whenever the process or the machine stops."""

import os
import shutil
from collections.abc import Callable
from errno import EACCES, EISDIR
from pathlib import Path
from stat import S_IMODE

PARTIAL = ".partial"


def replace_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file in a folder beside `path`, and move it there once it is on the disk.

    A folder, since a library that writes may have temporary files of its own, which a kill would leave behind. The file
    gets the permissions that any new file gets. Raises what `write` raises, and OSError where the disk is full or the
    folder cannot be written to; the file that was at `path` is then unchanged, and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}{PARTIAL}")
    remove(partial)
    try:
        partial.mkdir()
        usual = partial / "usual"
        usual.touch()
        new = partial / path.name
        write(new)
        new.chmod(S_IMODE(usual.stat().st_mode))
        with new.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(new, path)
    finally:
        remove(partial)
    if os.name == "posix":  # the new name is on the disk only once its folder is; others cannot open a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def try_writing(path: Path) -> None:
    """Find out before long work whether `replace_whole` can write there; nothing stays. Raises OSError."""
    try:
        if path.is_dir():
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        if path.exists() and not path.is_file():  # a device: opening it to try would be noticed
            if not os.access(path, os.W_OK):
                raise PermissionError(EACCES, os.strerror(EACCES))
            return
        made = missing(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}{PARTIAL}")
        remove(partial)
        partial.mkdir()
        for folder in (partial, *made):
            folder.rmdir()
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from None


def missing(folder: Path) -> list[Path]:
    """A folder and those around it, as far as they are not there, the innermost first."""
    return [place for place in (folder, *folder.parents) if not place.exists()]


def remove(partial: Path) -> None:
    """Remove what a write that was cut off has left, if there is anything."""
    if partial.exists():
        shutil.rmtree(partial)


def same_file(source: Path, path: Path) -> None:
    """Let `path` be the file `source`, without a copy where the file system can."""

    def link(new: Path) -> None:
        try:
            os.link(source, new)
        except OSError:  # no hard links here: then a copy
            shutil.copyfile(source, new)

    replace_whole(path, link)
