"""Sets of encoded images, each in a file of its own, decoded when asked for."""

import errno
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from ..backend import Array
from .dataset import check_labels
from .decode import SUFFIXES, decode

OnBadImage = Literal["error", "skip"]
BROKEN = errno.ENOENT, errno.ENOTDIR, errno.ELOOP  # what following a link ends with that leads nowhere or in a circle
NOWHERE = 0


@dataclass(frozen=True)
class Encoded(ABC):
    """What sets of encoded images share; a kind of set says what an image's name and content are.

    Raises ValueError for labels without a class.
    """

    labels: Array = field(repr=False)
    classes: Sequence[str]
    shape: tuple[int, int, int]
    on_bad_image: OnBadImage = "error"
    skipped: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_labels(self.labels, self.classes)

    @abstractmethod
    def name(self, index: int) -> str:
        """What an error calls the image."""

    @abstractmethod
    def content(self, index: int) -> bytes:
        """The encoded image. Raises ValueError for a bad one, OSError where the disk cannot be read: that is no bad
        image."""

    def read(self, indices: Array) -> tuple[Array, Array]:
        images = np.empty((len(indices), *self.shape), np.uint8)
        kept: list[int] = []
        for index in map(int, indices):
            try:
                images[len(kept)] = decode(self.content(index), self.name(index), self.shape)
                kept.append(index)
            except ValueError as error:
                if self.on_bad_image == "error":
                    raise
                self.skipped[self.name(index)] = str(error)
        return images[: len(kept)], np.array(kept, np.int64)

    def images(self, indices: Array) -> Array:
        images, kept = self.read(indices)
        if len(kept) < len(indices):
            raise ValueError(self.skipped[self.name(next(int(i) for i in indices if i not in set(kept.tolist())))])
        return images


@dataclass(frozen=True, kw_only=True)
class Files(Encoded):
    """An image in each file."""

    paths: Sequence[str] = field(repr=False)

    def name(self, index: int) -> str:
        return self.paths[index]

    def content(self, index: int) -> bytes:
        return content_of(self.paths[index])


def content_of(path: str) -> bytes:
    """The bytes of an image file. Raises ValueError for a link that leads nowhere, in a circle or to a folder: a bad
    image; OSError where the disk cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        if not os.path.islink(path) or error.errno not in (*BROKEN, errno.EISDIR):
            raise
        told = f"it is a link to {os.readlink(path)!r}: {error.strerror}"
        raise ValueError(f"{path} cannot be read as an image: {told}") from None


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is passed over: it begins with a point, or a Mac put it into a zip file."""
    return name.startswith(".") or name == "__MACOSX"


def images_in(folder: Path) -> tuple[list[str], dict[str, str]]:
    """The paths of the image files right in a folder, sorted, and what else is there: name -> reason.

    Hidden files are passed over.
    """
    found = [(entry.path, _no_image(entry)) for entry in _visible(folder)]
    return [path for path, why in found if why is None], {path: why for path, why in found if why}


def below(folder: str, around: tuple[tuple[int, int], ...] = ()) -> Iterator[tuple[str, str | None]]:
    """The path of every file in a folder and in the folders below it, by name, and why it is no image file, if so.

    Hidden ones are passed over, and links are followed; but one to a folder that it lies in would never end, and stands
    as an image file, which cannot be read then.
    """
    about = os.stat(folder)
    here = about.st_dev, about.st_ino
    if here in around:
        yield folder, None
        return
    for entry in _visible(folder):
        if stat.S_ISDIR(_mode(entry)):
            yield from below(entry.path, (*around, here))
        else:
            yield entry.path, _no_image(entry)


def _visible(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not is_hidden(entry.name)), key=lambda entry: entry.name)


def _no_image(entry: os.DirEntry[str]) -> str | None:
    """Why an entry is not taken for an image file; None where it is. A link that leads nowhere goes by its name."""
    mode = _mode(entry)
    if stat.S_ISDIR(mode):
        return "it is a folder"
    if os.path.splitext(entry.name)[1].lower() not in SUFFIXES:
        return "its name does not end as an image's"
    return None if stat.S_ISREG(mode) or mode == NOWHERE else "it is no plain file"


def _mode(entry: os.DirEntry[str]) -> int:
    """What an entry is, as `stat` says it; NOWHERE for a link that leads nowhere or in a circle."""
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG  # the folder says so: the disk is not asked for each of a million files
    try:
        return entry.stat().st_mode
    except OSError as error:
        if error.errno not in BROKEN:
            raise
        return NOWHERE
