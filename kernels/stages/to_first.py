"""Channels last back to channels first: before a Flatten, or before a layer that has no stage of its own."""

from math import prod
from typing import Any

from alexnet_np.backend import Array
from alexnet_np.layers import Layer
from alexnet_np.parallel import spread
from alexnet_np.plan.arena import Arena, Buffer
from alexnet_np.plan.stage import Moments, Stage, Step

from .. import layouts


class ToFirst(Stage):
    """The images of x, with channels last, with channels first, as rows where it does the work of a Flatten."""

    in_steps = True

    def __init__(self, layers: dict[str, Layer], x: Buffer, sgd: Any) -> None:
        super().__init__(layers, x, sgd)
        N, H, W, C = x.shape
        shape, layout = ((N, C * H * W), "") if layers else ((N, C, H, W), "first")
        self.y = Buffer(f"{self.name}.first", shape, x.dtype, layout)

    @property
    def name(self) -> str:
        return super().name or f"after {self.x.name.removesuffix('.y')}"

    @property
    def kernels(self) -> str:
        return "to channels first"

    def reserve(self, arena: Arena, moments: Moments, workers: int) -> None:
        self.x.touch(moments.forward)
        arena.add(self.y).touch(moments.forward)
        if moments.backward is not None and self.dx:
            assert self.dy
            self.dx.touch(moments.backward)
            self.dy.touch(moments.backward)

    def forward(self, train: bool) -> None:
        last, first = self._views(self.x, self.y)
        spread(len(last), lambda _, i: layouts.to_channels_first(last[i : i + 1], first[i : i + 1]))

    def steps(self, state: Array, compare: bool) -> list[Step]:
        last, first = self._views(self.x, self.y)
        return [lambda part, parts: None if part else layouts.to_channels_first(last, first)]

    def backward(self, lr: float) -> None:
        if self.dx:
            assert self.dy
            last, first = self._views(self.dx, self.dy)
            spread(len(last), lambda _, i: layouts.to_channels_last(first[i : i + 1], last[i : i + 1]))

    def _views(self, last: Buffer, first: Buffer) -> tuple[Any, Any]:
        N, C = last.shape[0], last.shape[3]
        pixels = prod(last.shape[1:3])
        return last.array.reshape(N, pixels, C), first.array.reshape(N, C, pixels)
