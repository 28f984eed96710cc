"""Linear as a stage: its forward and dx by the bound kernels, the weights' gradient together with their update."""

from math import ceil
from typing import Any

import numpy as np

from alexnet_np.layers import Linear
from alexnet_np.operation import Spec
from alexnet_np.ops import sgd_momentum_
from alexnet_np.parallel import share, spread
from alexnet_np.plan.arena import Arena, Buffer
from alexnet_np.plan.bound import Bound
from alexnet_np.plan.layer_stage import LayerStage
from alexnet_np.plan.stage import Moments

from ..linear import momentum
from ..panel import ROWS, WIDTH
from ..static import Static
from ..vector import lanes

BLOCK = 8 * ROWS  # rows of w that a panel of x, once it is in the cache, is used for


class LinearStage(LayerStage):
    """A linear layer, of which dw has no memory."""

    def __init__(self, name: str, layer: Linear, x: Buffer, sgd: Any) -> None:
        super().__init__(name, layer, x, sgd)
        self.weight, self.bias = layer.params["weight"], layer.params["bias"]
        self.lanes = lanes(x.dtype, x.shape[1])

    @property
    def kernels(self) -> str:
        return f"{super().kernels}, gradient and update in one" if super()._trains("dw") else super().kernels

    def _trains(self, gradient: str) -> bool:
        return False  # by LayerStage, which needs no gradient but dx

    def reserve(self, arena: Arena, moments: Moments, workers: int) -> None:
        super().reserve(arena, moments, workers)
        if moments.backward is None:
            return
        assert self.dy
        (N, C), K, when = self.x.shape, len(self.weight), moments.backward
        if super()._trains("dw"):
            self.x.touch(when)
            self.dy.touch(when)
            self.columns = arena.buffer(f"{self.name}.columns", (N * C,), self.x.dtype).touch(when)
            self.rows = arena.buffer(f"{self.name}.rows", (ceil(K / ROWS), N, ROWS), self.x.dtype).touch(when)
        if super()._trains("db"):
            self.dy.touch(when)
            given = Spec(self.bias.shape, self.bias.dtype)
            self.db = arena.buffer(f"{self.name}.db", self.bias.shape, self.bias.dtype).touch(when)
            self.of_bias = Bound(sgd_momentum_, given, given, given, **self.sgd.rates("bias", 0.0))

    def backward(self, lr: float) -> None:
        super().backward(lr)
        assert self.dy
        if super()._trains("dw"):
            self._update(lr)
        if super()._trains("db"):
            np.sum(self.dy.array, axis=0, out=self.db.array)
            velocity, rate = self.sgd.velocity[f"{self.name}.bias"], self.sgd.rates("bias", lr)["lr"]
            self.of_bias(self.bias, velocity, self.db.array, out=(), lr=rate)

    def _update(self, lr: float) -> None:
        (N, C), K, item = self.x.shape, len(self.weight), self.x.dtype.itemsize
        velocity, rates = self.sgd.velocity[f"{self.name}.weight"], self.sgd.rates("weight", lr)
        numbers = float(rates["lr"]), float(rates["momentum"]), float(rates["weight_decay"])
        x, dy, columns, rows = self.x.array, self.dy.array, self.columns.array, self.rows.array
        panels = ceil(C / (WIDTH * self.lanes))
        share(panels, lambda lo, hi: momentum.pack_columns(x, self.lanes, lo, hi, columns))
        momentum.pack_rows(dy, rows)

        def block(_: int, number: int) -> None:
            first = number * BLOCK
            momentum.update(
                Static(item, self.lanes), self.rows.address + first * N * item, self.columns.address,
                self.weight.ctypes.data + first * C * item, velocity.ctypes.data + first * C * item,
                N, C // self.lanes, min(BLOCK, K - first), *numbers,
            )  # fmt: skip

        spread(ceil(K / BLOCK), block)
