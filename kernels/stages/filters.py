"""The filters of a convolution's stage: as U for its forward, as Uᵀ for dx, and from dU their step of momentum."""

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.layers import Conv2d
from alexnet_np.parallel import share, spread
from alexnet_np.plan.arena import Arena, Buffer
from alexnet_np.plan.stage import Moments
from alexnet_np.plan.update import Update

from ..conv2d import blocks, winograd_weights
from ..fingerprint import PIECES, same, take
from .geometry import Geometry

AT_A_TIME = 8
END = 1 << 30  # a moment after all others: U stays from one prediction to the next


class Filters:
    """Of the layer called `name`; all of its parameters are trained, or none.

    u, ut    buffers of U and Uᵀ, see winograd_weights
    du, db   buffers for the gradients, and `one` of a 1, by which db is a product
    """

    def __init__(self, name: str, conv: Conv2d, form: Geometry, dtype: Any, sgd: Any) -> None:
        self.name, self.conv, self.form, self.dtype, self.sgd = name, conv, form, dtype, sgd
        self.trained = sgd is not None and f"{name}.weight" in sgd.velocity
        self.tile, self.point = form.tile(False), form.u_shape[1] * form.itemsize
        self.prints: Array = np.zeros(PIECES, np.uint64)
        self.fresh = False

    def reserve(self, arena: Arena, moments: Moments, workers: int, transposed: bool) -> None:
        form, backward, self.transposed = self.form, moments.backward, transposed

        def array(name: str, shape: tuple[int, ...], *when: int) -> Buffer:
            return arena.buffer(f"{self.name}.{name}", shape, self.dtype).touch(*when)

        self.u, self.in_blocks = array("u", form.u_shape, moments.forward), None
        for_cores = (form.y[2], form.x[2] // form.groups, form.r, form.r)
        if self.conv.shapes["weight"] != for_cores:
            self.in_blocks = array("filters", for_cores, *moments.all)
        self.taps = array("taps", (workers, form.r**2, form.vector.value[1]), *moments.all)
        self.predicts = backward is None
        if backward is None:
            self.u.touch(0, END)
            return
        if transposed:
            self.ut = array("ut", form.u_shape, backward)
        if self.trained:
            self.du, self.one = array("du", form.u_shape, backward), array("one", (1,), backward)
            self.d_in_blocks = array("dfilters", for_cores, backward) if self.in_blocks else None
            self.dw, self.db = (array(f"d{key}", of.shape, backward) for key, of in self.conv.params.items())
            gradients = zip(self.conv.params, (self.dw, self.db), strict=True)
            self.updates = [Update(self.name, self.conv, key, made, self.sgd) for key, made in gradients]

    def to_u(self) -> None:
        """U of the filters as they are now."""
        self._transform(self.u, winograd_weights.to_u, self.form.x[2])
        if self.predicts:
            w = self.bits()
            share(PIECES, lambda lo, hi: take(w, lo, hi, self.prints))
            self.fresh = True

    def unchanged(self) -> bool:
        """Whether U is of the filters as they are now. It is not until it has been made for predictions."""
        if not self.fresh:
            return False
        w, parts = self.bits(), list[bool]()
        share(PIECES, lambda lo, hi: parts.append(same(w, lo, hi, self.prints)))
        return all(parts)

    def bits(self) -> Array:
        """The filters now: flat, as unsigned integers."""
        w = self.conv.params["weight"]
        return w.reshape(-1).view(f"u{w.itemsize}")

    def prepare_backward(self) -> None:
        """What it multiplies by."""
        if self.transposed:
            self._transform(self.ut, winograd_weights.to_ut, self.form.y[2])
        if self.trained:
            self.one.array[...] = 1

    def _transform(self, u: Buffer, to_u: Callable[..., None], channels: int) -> None:
        form, w = self.form, self.conv.params["weight"]
        if self.in_blocks:
            blocks.filters_to_blocks(w, form.blocks[0] if form.blocks else 1, self.in_blocks.array)
            w = self.in_blocks.array

        def some(worker: int, item: int) -> None:
            part = item * AT_A_TIME, min((item + 1) * AT_A_TIME, channels)
            taps = self.taps.array[worker]
            to_u(self.tile, form.vector, form.r, w, u.address, taps, self.point, form.groups, *part)

        spread(ceil(channels / AT_A_TIME), some)

    def update(self, lr: float) -> None:
        """dw from dU; then the step of all parameters."""
        form, channels = self.form, self.form.x[2]
        target = (self.d_in_blocks or self.dw).array

        def some(worker: int, item: int) -> None:
            part = item * AT_A_TIME, min((item + 1) * AT_A_TIME, channels)
            winograd_weights.to_dw(
                self.tile, form.vector, form.r, self.du.address, target, self.taps.array[worker], self.point,
                form.groups, *part, False,
            )  # fmt: skip

        spread(ceil(channels / AT_A_TIME), some)
        if self.d_in_blocks:
            blocks.filters_from_blocks(target, form.blocks[0] if form.blocks else 1, self.dw.array)
        for update in self.updates:
            update(lr)
