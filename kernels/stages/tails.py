"""What may follow a convolution in its stage, while an image is still in the cache: LRN and max-pooling, in any order.

A tail works on one worker's images, from address to address. What its backward needs of a training step it keeps in
buffers of its own: LRN its input, max-pooling its winners.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from alexnet_np.layers import LRN, Layer, MaxPool2d
from alexnet_np.ops.windows import output_size, pair, sides
from alexnet_np.plan.arena import Arena, Buffer
from alexnet_np.plan.stage import Moments

from ..lrn import channels_last as lrn
from ..lrn.power import BETA
from ..maxpool2d import channels_last as maxpool
from ..static import Static

Map = tuple[int, int, int]  # H, W, C


class Tail(ABC):
    """One layer of the tail.

    x, y  shapes of an image before and after
    relu  whether what comes in was made by the ReLU right before, whose backward is then done here
    """

    x: Map
    y: Map
    keeps_input = False

    def reserve(self, name: str, arena: Arena, moments: Moments, images: int, workers: int) -> None:
        """Make and touch its own buffers: by default it has none."""
        return

    @abstractmethod
    def forward(self, x: int, y: int, first: int, begin: int, end: int) -> None:
        """The rows begin … end of y, counted over images, from x: addresses of images, from number `first` on."""

    @abstractmethod
    def backward(self, dy: int, x: int, dx: int, first: int, images: int, worker: int) -> None:
        """dx from dy; x where `keeps_input`, else 0."""


class PoolTail(Tail):
    """Max-pooling without padding."""

    def __init__(self, layer: MaxPool2d, x: Map, vector: Static, dtype: Any, relu: bool) -> None:
        size, stride = pair("size", layer.options["size"]), pair("stride", layer.options["stride"])
        P, Q = output_size(x[:2], size, stride, ((0, 0), (0, 0)))
        self.x, self.y, self.vector = x, (P, Q, x[2]), vector
        self.shape = (*x, P, Q, *size, *stride)
        self.window = Static(*size, relu)

    def reserve(self, name: str, arena: Arena, moments: Moments, images: int, workers: int) -> None:
        self.winner = arena.buffer(f"{name}.winner", (images, *self.y), np.uint8).touch(*moments.all)

    def _winner(self, first: int) -> int:
        return self.winner.address + first * int(np.prod(self.y))

    def forward(self, x: int, y: int, first: int, begin: int, end: int) -> None:
        maxpool.forward(self.window, self.vector, self.shape, x, y, self._winner(first), begin, end)

    def backward(self, dy: int, x: int, dx: int, first: int, images: int, worker: int) -> None:
        maxpool.backward(self.vector, self.shape, dy, self._winner(first), dx, images)


class LrnTail(Tail):
    """LRN with β = 0.75."""

    keeps_input = True

    def __init__(self, layer: LRN, x: Map, vector: Static, dtype: Any, relu: bool) -> None:
        self.x = self.y = x
        options = layer.options
        self.vector, self.window = vector, Static(options["size"], relu)
        self.groups = options["groups"]
        self.masks = lrn.masks(x[2] // self.groups, options["size"], dtype)
        a = options["alpha"] / options["size"] if options["alpha_over_size"] else options["alpha"]
        self.rest = x[2] // self.groups, self.groups, int(self.masks.ctypes.data), float(options["k"]), float(a)
        self.dtype = np.dtype(dtype)

    def reserve(self, name: str, arena: Arena, moments: Moments, images: int, workers: int) -> None:
        self.terms: Buffer | None = None
        if moments.backward is not None:
            room = lrn.STEP * self.x[2] + 2 * 64 // self.dtype.itemsize
            self.terms = arena.buffer(f"{name}.terms", (workers, room), self.dtype).touch(moments.backward)

    def forward(self, x: int, y: int, first: int, begin: int, end: int) -> None:
        _, W, C = self.x
        before = begin * W * C * self.dtype.itemsize
        lrn.forward(self.window, self.vector, x + before, y + before, (end - begin) * W, *self.rest)

    def backward(self, dy: int, x: int, dx: int, first: int, images: int, worker: int) -> None:
        assert self.terms
        t = self.terms.address + worker * self.terms.shape[1] * self.dtype.itemsize + 64
        lrn.backward(self.window, self.vector, dy, x, t, dx, images * self.x[0] * self.x[1], *self.rest)


def tail(layer: Layer, x: Map, vector: Static, dtype: Any, relu: bool) -> Tail | None:
    """The tail of a layer; None where it has none: another layer, padding, another β, channels that fill no vector."""
    width = vector.value[1]
    if isinstance(layer, MaxPool2d) and sides("padding", layer.options["padding"]) == ((0, 0), (0, 0)):
        size = pair("size", layer.options["size"])
        return PoolTail(layer, x, vector, dtype, relu) if size[0] * size[1] < maxpool.NOBODY else None
    if isinstance(layer, LRN) and layer.options["beta"] == BETA and layer.options["size"] % 2:
        fits = x[2] % layer.options["groups"] == 0 and x[2] // layer.options["groups"] % width == 0
        reach = layer.options["size"] // 2 * np.dtype(dtype).itemsize <= 64
        return LrnTail(layer, x, vector, dtype, relu) if fits and reach else None
    return None
