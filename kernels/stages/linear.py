"""Linear as a stage: w streams once through the forward, and once more through backward and update together."""

from functools import partial
from math import ceil, inf
from typing import Any

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.layers import Dropout, Layer, ReLU
from alexnet_np.parallel import Body, deal, share
from alexnet_np.plan.arena import Arena, Buffer
from alexnet_np.plan.layer_stage import LayerStage
from alexnet_np.plan.stage import Moments, Step
from alexnet_np.plan.update import Update

from ..linear import momentum, streamed
from ..panel import ROWS, WIDTH
from ..static import Static
from ..together import turn
from ..vector import lanes

LEAST_WORK = 1 << 20  # multiplications that are worth a thread


class LinearStage(LayerStage):
    """A linear layer; its dw has no memory. A prediction's has the ReLU and the dropout behind it done by the way."""

    in_steps = True

    def __init__(self, layers: dict[str, Layer], x: Buffer, sgd: Any) -> None:
        (name, layer), *after = layers.items()
        super().__init__(name, layer, x, sgd)
        self.layers = layers
        self.least_y, self.factor = -inf, 1.0
        for _, each in after:
            if isinstance(each, ReLU):
                self.least_y = 0.0
            else:
                assert isinstance(each, Dropout) and sgd is None
                self.factor = 1.0 if each.options["scale_at_train"] else 1 - each.options["rate"]
        self.weight, self.bias = layer.params["weight"], layer.params["bias"]
        self.lanes, self.full = lanes(x.dtype, x.shape[1]), lanes(x.dtype)  # along features, along images

    @property
    def kernels(self) -> str:
        return "weights streamed" + (", backward and update in one" if self._trains("dw") else "")

    def _needs(self, gradient: str) -> bool:
        return gradient == "dx" and self.dx is not None and not self._trains("dw")  # of LayerStage

    def reserve(self, arena: Arena, moments: Moments, workers: int) -> None:
        super().reserve(arena, moments, workers)
        (N, C), K = self.x.shape, len(self.weight)
        self.least = ceil(LEAST_WORK / (ROWS * C * N))  # groups of rows for a thread
        wide = ceil(N / self.full) * self.full
        self.packed = arena.buffer(f"{self.name}.packed", (C * wide,), self.x.dtype).touch(moments.forward)
        if moments.backward is None:
            return
        assert self.dy
        when = moments.backward
        if self._trains("dw"):
            self.x.touch(when)
            self.dy.touch(when)
            if self.dx:
                self.dx.touch(when)
                self.dcolumns = arena.buffer(f"{self.name}.dcolumns", (N * C,), self.x.dtype).touch(when)
            self.columns = arena.buffer(f"{self.name}.columns", (N * C,), self.x.dtype).touch(when)
            self.rows = arena.buffer(
                f"{self.name}.rows", (ceil(K / momentum.BLOCK), N, momentum.BLOCK), self.x.dtype
            ).touch(when)
        if self._trains("db"):
            self.dy.touch(when)
            self.db = arena.buffer(f"{self.name}.db", self.bias.shape, self.bias.dtype).touch(when)
            self.of_bias = Update(self.name, self.layer, "bias", self.db, self.sgd)

    def forward(self, train: bool) -> None:
        for n, body, least in self._work():
            deal(n, body, least=least)

    def steps(self, state: Array, compare: bool) -> list[Step]:
        return [partial(_turns_of, state, *each) for each in self._work()]

    def _work(self) -> list[tuple[int, Body, int]]:
        """What a forward does, in order: how many things, body(lo, hi) for some, how many are worth a thread."""
        (N, C), K, item = self.x.shape, len(self.weight), self.x.dtype.itemsize
        if N == 1:
            return [(K, self._rows_of_one(), self.least * ROWS)]
        x, y, packed, vector = self.x.array, self.y.array, self.packed.array, Static(item, self.full)
        wide = packed.size // C
        piece = streamed.piece(N, C, self.full, item)

        def pack(lo: int, hi: int) -> None:
            streamed.pack_transposed(x, self.full, piece, lo, hi, packed)

        def rows(lo: int, hi: int) -> None:
            streamed.forward(
                vector, self.packed.address, self.weight.ctypes.data, self.bias, y, lo * ROWS, min(hi * ROWS, K),
                np.empty((streamed.BLOCK, wide), x.dtype), N, C, piece, self.least_y, self.factor,
            )  # fmt: skip

        return [(ceil(C / piece), pack, 1), (ceil(K / ROWS), rows, self.least)]

    def _rows_of_one(self) -> Body:
        """y of one image, of the rows lo … hi of w."""
        C, item = self.x.shape[1], self.x.dtype.itemsize
        w, b, vector = self.weight.ctypes.data, self.bias.ctypes.data, Static(item, self.lanes)

        def rows(lo: int, hi: int) -> None:
            to = self.y.address + lo * item
            streamed.forward_one(
                vector, self.x.address, w + lo * C * item, b + lo * item, to, C, hi - lo, self.least_y, self.factor
            )

        return rows

    def backward(self, lr: float) -> None:
        super().backward(lr)
        assert self.dy
        if self._trains("dw"):
            self._update(lr)
        if self._trains("db"):
            np.sum(self.dy.array, axis=0, out=self.db.array)
            self.of_bias(lr)

    def _update(self, lr: float) -> None:
        """dx, of the weights as they were, and their step."""
        (N, C), K, item = self.x.shape, len(self.weight), self.x.dtype.itemsize
        assert self.dy
        velocity, rates = self.sgd.velocity[f"{self.name}.weight"], self.sgd.rates("weight", lr)
        numbers = float(rates["lr"]), float(rates["momentum"]), float(rates["weight_decay"])
        x, dy, columns, rows = self.x.array, self.dy.array, self.columns.array, self.rows.array
        panels = ceil(C / (WIDTH * self.lanes))
        share(panels, lambda lo, hi: momentum.pack_columns(x, self.lanes, lo, hi, columns))
        momentum.pack_rows(dy, rows)
        to = self.dcolumns.address if self.dx else 0

        def part(lo: int, hi: int) -> None:
            momentum.backward(
                Static(item, self.lanes), self.rows.address, self.columns.address, to, self.weight.ctypes.data,
                velocity.ctypes.data, N, K, C // self.lanes, lo, hi, *numbers,
            )  # fmt: skip
            if self.dx:
                momentum.unpack_columns(self.dcolumns.array, self.lanes, lo, hi, self.dx.array)

        deal(panels, part, least=ceil(LEAST_WORK / (K * N * WIDTH * self.lanes)))


def _turns_of(state: Array, n: int, body: Body, least: int, part: int, parts: int) -> None:
    """This part's turns of range(n)."""
    lo, hi = turn(state, 0, part, parts, n, least)
    while lo < hi:
        body(lo, hi)
        lo, hi = turn(state, 0, part, parts, n, least)
