"""A layer as a recording saw it: what a formula reads its factors from."""

from typing import Any

import numpy as np

from ..backend import Array, device_of
from ..layers import Layer
from ..recording import Recording
from .terms import Column, Source

INPUT, LOSS = "input", "loss"


class Seen:
    """The arrays of one layer of a recording.

    before, after  the names of its neighbours, "input" and "loss" at the ends
    """

    def __init__(self, recording: Recording, name: str) -> None:
        self.recording, self.name = recording, name
        self.layer: Layer = recording.model[name]
        names = list(recording.model)
        if recording.labels is not None and (names[-1], "y") not in recording:
            names.pop()  # a Softmax that training leaves out
        at = names.index(name) if name in names else len(names)
        self.before = names[at - 1] if at else INPUT
        self.after = names[at + 1] if at + 1 < len(names) else LOSS

    def __getitem__(self, name: str) -> Array:
        array = self.recording[self.name, name]
        if device_of(array) != "cpu":
            raise TypeError(f"{name} of {self.name} is on the {device_of(array)}; record on the CPU to trace numbers")
        return array

    @property
    def options(self) -> dict[str, Any]:
        return self.layer.options

    def x(self, at: Array, values: Array) -> Column:
        """Inputs, each explained by the layer before."""
        return Column("x", values, at, self._source(self.before, "y"))

    def dy(self, at: Array, values: Array) -> Column:
        """Gradients from above, each explained by the layer behind."""
        return Column("dy", values, at, self._source(self.after, "dx"))

    def parameter(self, name: str, at: Array, values: Array) -> Column:
        return Column("w" if name == "weight" else "b", values, at, (self.name, name))

    def _source(self, layer: str, name: str) -> Source:
        return layer, name


def one(index: tuple[int, ...]) -> Array:
    """A single place: (1, rank)."""
    return np.array([index], np.int64)
