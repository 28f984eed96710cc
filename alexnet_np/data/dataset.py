"""What every image source gives: labels, class names, and images on demand as uint8 (N, C, H, W)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from ..backend import Array


class Dataset(Protocol):
    """A set of labelled images of one shape. It may be read from several threads at once."""

    @property
    def labels(self) -> Array:
        """Class numbers (N,), int64."""

    @property
    def classes(self) -> Sequence[str]:
        """A name for each class number."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a stored image."""

    @property
    def skipped(self) -> Mapping[str, str]:
        """What has been left out so far: name -> reason."""

    def read(self, indices: Array) -> tuple[Array, Array]:
        """The images at `indices` that can be read, uint8 (n, C, H, W), and their indices (n,), in order.

        Raises ValueError, with the image's name, where one cannot be read, unless the set was told to skip those.
        """

    def images(self, indices: Array) -> Array:
        """The images at `indices`, all of them. Raises ValueError, with the image's name, where one cannot be read."""


def check_labels(labels: Array, classes: Sequence[str]) -> None:
    """Raises ValueError for a label without a class."""
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise ValueError(f"labels from {labels.min()} to {labels.max()} for {len(classes)} classes")


class Split(NamedTuple):
    """A source's two parts: what is trained on, and what is held out."""

    train: Dataset
    test: Dataset


@dataclass(frozen=True)
class InMemory:
    """Images that are all in memory. Raises ValueError for labels without an image or without a class."""

    pixels: Array
    labels: Array
    classes: Sequence[str]
    skipped: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.pixels) != len(self.labels):
            raise ValueError(f"{len(self.pixels)} images but {len(self.labels)} labels")
        check_labels(self.labels, self.classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def read(self, indices: Array) -> tuple[Array, Array]:
        return self.pixels[indices], np.asarray(indices)

    def images(self, indices: Array) -> Array:
        return self.pixels[indices]


def subset(data: Dataset, count: int, seed: int = 0) -> InMemory:
    """At most `count` images of a set, drawn at random."""
    chosen = np.random.default_rng(seed).permutation(len(data.labels))[:count]
    pixels, kept = data.read(chosen)
    return InMemory(pixels, data.labels[kept], data.classes, data.skipped)
