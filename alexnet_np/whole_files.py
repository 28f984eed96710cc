"""Files that are there as a whole or not at all, whenever the process or the machine stops."""

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from stat import S_IMODE, S_ISDIR, S_ISREG
from tempfile import TemporaryDirectory
from typing import BinaryIO, TextIO

PARTIAL = ".partial"


def replace_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file in a folder beside `path`, and move it there once it is on the disk.

    A folder, since a library that writes may have temporary files of its own, which a kill would leave behind. The file
    gets the permissions that any new file gets. A link stays, and what it points to is replaced. What is no regular
    file, such as a pipe, a device or this process's own output (/dev/stdout), is written to.

    Raises what `write` raises, and OSError where the disk is full or the folder cannot be written to; the file that was
    at `path` is then unchanged, and nothing is left beside it.
    """
    if target := _stream(path):
        with TemporaryDirectory() as temporary:
            new = Path(temporary) / path.name
            write(new)
            try:
                with target, new.open("rb") as file:
                    shutil.copyfileobj(file, target)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from None
        return
    path = Path(os.path.realpath(path))
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
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists() and (not path.is_file() or _own_output(path.stat())):  # opening it to try would be noticed
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        path = Path(os.path.realpath(path))
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


def replace_text(path: Path, text: str) -> None:
    """`replace_whole` of a text, in UTF-8. A byte of a file's name that is no UTF-8, half of a surrogate pair in the
    text, is written as JSON writes it: \\udc80."""
    replace_whole(path, lambda new: new.write_text(text, encoding="utf-8", errors="backslashreplace"))


def _stream(path: Path) -> BinaryIO | None:
    """What is written to as it stands, opened; None for a regular file, and where there is nothing yet.

    Output that a shell has sent to a file is a regular file, but what is still to be printed belongs behind it. Raises
    OSError for a folder, a link in a circle, and what cannot be opened.
    """
    try:
        there = path.stat()
    except FileNotFoundError:
        return None
    if S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if own := _own_output(there):
        own.flush()
        return os.fdopen(os.dup(own.fileno()), "wb")
    return None if S_ISREG(there.st_mode) else path.open("wb")


def _own_output(there: os.stat_result) -> TextIO | None:
    """Standard output or error, where it goes to this file."""
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            if stream and os.path.samestat(there, os.fstat(stream.fileno())):
                return stream
        except (OSError, ValueError):  # it is closed
            continue
    return None


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
