"""Sets of encoded images, each in a file of its own, decoded when asked for."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from ..backend import Array
from .dataset import check_labels
from .decode import SUFFIXES, decode

OnBadImage = Literal["error", "skip"]


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
        """The encoded image. Raises OSError where it cannot be read from the disk: that is no bad image."""

    def read(self, indices: Array) -> tuple[Array, Array]:
        images = np.empty((len(indices), *self.shape), np.uint8)
        kept: list[int] = []
        for index in map(int, indices):
            content = self.content(index)
            try:
                images[len(kept)] = decode(content, self.name(index), self.shape)
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
        return Path(self.paths[index]).read_bytes()


def images_in(folder: Path) -> tuple[list[str], dict[str, str]]:
    """The paths of the image files right in a folder, sorted, and what else is there: name -> reason.

    Hidden files are passed over.
    """
    with os.scandir(folder) as entries:
        paths = sorted(e.path for e in entries if not e.name.startswith(".") and e.is_file())
    found = {path: os.path.splitext(path)[1].lower() in SUFFIXES for path in paths}
    others = {path: "its name does not end as an image's" for path, image in found.items() if not image}
    return [path for path, image in found.items() if image], others
