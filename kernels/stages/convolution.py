"""Convolution, ReLU, LRN and max-pooling as one stage on channels-last images.

An image, or a few, go through all of it while they are in a core's cache: blocks of pixels, V, M, y, the tail. Only
what the next stage or the backward reads goes to memory. The backward goes the same way back, and leaves dM and V of a
chunk of the batch, from which the threads then make the weights' gradient, each some elements of the tile: so no sum is
divided between threads, and the results do not depend on how many there are.
"""

from math import ceil, prod
from typing import Any

import numpy as np

from alexnet_np.layers import Conv2d, Layer, ReLU
from alexnet_np.operation import Spec
from alexnet_np.ops import sgd_momentum_
from alexnet_np.parallel import spread
from alexnet_np.plan.arena import Arena, Buffer
from alexnet_np.plan.bound import Bound
from alexnet_np.plan.stage import Moments, Stage

from ..conv2d import blocks, winograd_weights
from ..conv2d import channels_last as core
from .geometry import Geometry
from .tails import Tail, tail

LEAST_TILES = 72  # at a time: the matrix products run at full rate from here
CHUNK_BYTES = 48 << 20  # of dM and V: whatever the number of threads, so that the sums over images are the same
FILTERS = 8  # at a time
TURNS = 16  # that the elements of dU are dealt to the threads in


class Convolution(Stage):
    """Conv2d with what follows it."""

    def __init__(self, layers: dict[str, Layer], x: Buffer, sgd: Any, form: Geometry) -> None:
        super().__init__(layers, x, sgd)
        self.form, self.dtype, self.images = form, x.dtype, x.shape[0]
        (name, conv), *after = layers.items()
        assert isinstance(conv, Conv2d)
        self.conv, self.of = conv, name
        self.relu = bool(after) and isinstance(after[0][1], ReLU)
        self.tails: list[Tail] = []
        at = form.y
        for i, (_, layer) in enumerate(after[self.relu :]):
            made = tail(layer, at, form.vector, self.dtype, self.relu and i == 0)
            assert made
            self.tails.append(made)
            at = made.y
        self.y = Buffer(f"{next(reversed(layers))}.y", (self.images, *at), self.dtype, "last")

    @property
    def kernels(self) -> str:
        form = self.form
        first = [f"blocks of {form.blocks[0]} × {form.blocks[0]}"] if form.blocks and form.blocks[0] > 1 else []
        return ", ".join([*first, f"Winograd F({form.m}, {form.r})", f"vectors of {form.vector.value[1]}"])

    # Memory.

    def reserve(self, arena: Arena, moments: Moments, workers: int) -> None:
        form, forward = self.form, moments.forward
        trains = moments.backward is not None
        per_image = form.tiles * form.elements * (form.x[2] + form.y[2]) * form.itemsize
        self.chunk = max(1, min(CHUNK_BYTES // per_image, self.images))
        self.step = min(ceil(LEAST_TILES / form.tiles), ceil(self.chunk / workers))
        self.x.touch(forward)
        arena.add(self.y).touch(forward)
        for i, made in enumerate(self.tails):
            made.reserve(f"{self.name}.{i}", arena, moments, self.images, workers)
        self.u = self._array(arena, "u", form.u_shape, forward)
        self.filters = None
        conv_filters = (form.y[2], form.x[2] // form.groups, form.r, form.r)
        if self.conv.shapes["weight"] != conv_filters:
            self.filters = self._array(arena, "filters", conv_filters, *moments.all)
        self.taps = self._array(arena, "taps", (workers, form.r**2, form.vector.value[1]), *moments.all)
        self.spare = self._array(arena, "spare", (workers, 2 * max(form.x[2], form.y[2])), *moments.all)
        self.blocks = None
        if form.blocks:
            self.blocks = self._array(arena, "blocks", (workers, self.step, *form.x), *moments.all)
        tiles = self.step * form.tiles
        self.scratch = self._bytes(arena, "scratch", workers, form.v(tiles) + form.m_(tiles), forward)
        # What lies between the convolution and its tails: kept whole where a backward reads it.
        self.between: list[tuple[Buffer, bool]] = []
        for i, made in enumerate(self.tails):
            whole = trains and made.keeps_input
            size = self.images if whole else workers * self.step
            buffer = self._array(arena, f"between{i}", (size, *made.x), forward)
            self.between.append((buffer, whole))
            if whole:
                assert moments.backward is not None
                buffer.touch(moments.backward)
        if moments.backward is not None:
            self._reserve_backward(arena, moments.backward, workers)
        else:
            self.u.touch(0, self._END)
            self.kept = self._array(arena, "kept", self.conv.shapes["weight"], 0, self._END)
            self.fresh = False

    _END = 1 << 30  # a moment after all others: U stays from one prediction to the next

    def _reserve_backward(self, arena: Arena, moment: int, workers: int) -> None:
        form, trains = self.form, self.trained(f"{self.of}.weight")
        self.x.touch(moment)
        assert self.dy
        self.dy.touch(moment)
        if self.relu and not self.tails:
            self.y.touch(moment)
        tiles = self.step * form.tiles
        self.m = self._bytes(arena, "dm", 1, form.m_(self.chunk * form.tiles), moment)
        self.gradients = [
            self._array(arena, f"d{i}", (workers, self.step, *made.x), moment) for i, made in enumerate(self.tails)
        ]
        if self.dx:
            self.dx.touch(moment)
            self.ut = self._array(arena, "ut", form.u_shape, moment)
            self.dv = self._bytes(arena, "dv", workers, form.v(tiles), moment)
            self.dblocks = self._array(arena, "dblocks", (workers, self.step, *form.x), moment) if form.blocks else None
        self.updates: list[tuple[str, Bound, Buffer]] = []
        if trains:
            self.v = self._bytes(arena, "v", 1, form.v(self.chunk * form.tiles), moment)
            self.du = self._array(arena, "du", form.u_shape, moment)
            self.dfilters = self._array(arena, "dfilters", self.filters.shape, moment) if self.filters else None
            self.one = self._array(arena, "one", (1,), moment)
            for key, of in self.conv.params.items():
                given = Spec(of.shape, of.dtype)
                update = Bound(sgd_momentum_, given, given, given, **self.sgd.rates(key, 0.0))
                self.updates.append((key, update, self._array(arena, f"d{key}", of.shape, moment)))

    def _array(self, arena: Arena, name: str, shape: tuple[int, ...], *moments: int) -> Buffer:
        return arena.buffer(f"{self.of}.{name}", shape, self.dtype).touch(*moments)

    def _bytes(self, arena: Arena, name: str, workers: int, size: int, moment: int) -> Buffer:
        room = ceil(size / 64) * 64 + 64  # 64 more, so that two threads' scratch begins in different sets of a cache
        return arena.buffer(f"{self.of}.{name}", (workers, room), np.uint8).touch(moment)

    # Running.

    def forward(self, train: bool) -> None:
        if train or not self.fresh or not np.array_equal(_bits(self.conv.params["weight"]), _bits(self.kept.array)):
            self._transform(self.u, winograd_weights.to_u, self.form.x[2])
            if not train:
                self.kept.array[...] = self.conv.params["weight"]
                self.fresh = True
        self.spare.array[...] = 0
        spread(ceil(self.images / self.step), self._forward)

    def _transform(self, u: Buffer, to_u: Any, channels: int) -> None:
        """U, or Uᵀ, of the filters as they are now."""
        form, w = self.form, self.conv.params["weight"]
        if self.filters:
            blocks.filters_to_blocks(w, form.blocks[0] if form.blocks else 1, self.filters.array)
            w = self.filters.array
        tile, point = form.tile(False), prod(form.u_shape[1:]) * form.itemsize

        def some(worker: int, item: int) -> None:
            lo, hi = item * FILTERS, min((item + 1) * FILTERS, channels)
            taps = self.taps.array[worker]
            to_u(tile, form.vector, form.r, w, u.address, taps, point, form.groups, lo, hi)

        spread(ceil(channels / FILTERS), some)

    def _forward(self, worker: int, item: int) -> None:
        """Some images through all of the stage."""
        form, first = self.form, item * self.step
        images = min(self.step, self.images - first)
        places = [self._between(i, first, worker) for i in range(len(self.tails))]
        places.append(self.y.address + first * _bytes_of(self.y))
        core.forward(
            form.tile(self.relu), form.vector, form.shape, self._input(first, images, worker), self.u.address,
            self.conv.params["bias"].ctypes.data, places[0], _of(self.scratch, worker), _of(self.spare, worker),
            0, images * form.tiles, images * form.tiles,
        )  # fmt: skip
        for made, x, y in zip(self.tails, places[:-1], places[1:], strict=True):
            made.forward(x, y, first, images)

    def _input(self, first: int, images: int, worker: int) -> int:
        """Address of these images with channels last."""
        if not self.blocks:
            return self.x.address + first * _bytes_of(self.x)
        assert self.form.blocks
        target = self.blocks.array[worker, :images]
        blocks.to_blocks(self.x.array[first : first + images], *self.form.blocks, target)
        return int(target.ctypes.data)

    def _between(self, i: int, first: int, worker: int) -> int:
        buffer, whole = self.between[i]
        return buffer.address + (first if whole else worker * self.step) * _bytes_of(buffer)

    def backward(self, lr: float) -> None:
        if self.dx:
            self._transform(self.ut, winograd_weights.to_ut, self.form.y[2])
        if self.updates:
            self.one.array[...] = 1
        self.spare.array[...] = 0
        for begin in range(0, self.images, self.chunk):
            images = min(self.chunk, self.images - begin)
            spread(
                ceil(images / self.step),
                lambda worker, item, begin=begin, images=images: self._backward(worker, item, begin, images),
            )
            if self.updates:
                spread(TURNS, lambda _, turn, begin=begin, images=images: self._weights(turn, begin, images))
        if self.updates:
            self._update(lr)

    def _backward(self, worker: int, item: int, begin: int, in_chunk: int) -> None:
        """dM, V and dx of some images of the chunk that begins at image `begin`."""
        form, at = self.form, item * self.step
        first, images = begin + at, min(self.step, in_chunk - at)
        assert self.dy
        dy = self.dy.address + first * _bytes_of(self.dy)
        for i in reversed(range(len(self.tails))):
            made, dx = self.tails[i], _of(self.gradients[i], worker)
            x = self._between(i, first, worker) if made.keeps_input else 0
            made.backward(dy, x, dx, first, images, worker)
            dy = dx
        tiles, spare = images * form.tiles, _of(self.spare, worker)
        m_point, v_point = form.m_point(in_chunk * form.tiles), form.v_point(in_chunk * form.tiles)
        dm = self.m.address + at * form.tiles * form.y[2] * form.itemsize
        masked = self.relu and not self.tails
        y = self.y.address + first * _bytes_of(self.y) if masked else 0
        core.gradient_tiles(form.tile(masked), form.vector, form.shape, dy, y, dm, m_point, spare, 0, tiles)
        if self.dx:
            dx = _of(self.dblocks, worker) if self.dblocks else self.dx.address + first * _bytes_of(self.dx)
            core.to_dx(
                form.tile(False), form.vector, form.shape, dm, m_point, self.ut.address, dx, _of(self.dv, worker),
                spare, 0, images,
            )  # fmt: skip
            if self.dblocks:
                assert form.blocks
                made_of = self.dblocks.array[worker, :images]
                blocks.from_blocks(made_of, *form.blocks, self.dx.array[first : first + images])
        if self.updates:
            v = self.v.address + at * form.tiles * form.x[2] * form.itemsize
            x = self._input(first, images, worker)
            core.input_tiles(form.tile(False), form.vector, form.shape, x, v, v_point, spare, 0, tiles)

    def _weights(self, turn: int, begin: int, images: int) -> None:
        """Some elements of dU, and in the first turn db, from a chunk."""
        form, tiles = self.form, images * self.form.tiles
        m_point, v_point, add = form.m_point(tiles), form.v_point(tiles), int(begin > 0)
        if turn == 0:
            db = next(buffer for key, _, buffer in self.updates if key == "bias")
            core.to_db(form.vector, form.shape, self.m.address, m_point, self.one.address, db.address, tiles, add)
        first, last = (number * form.elements // TURNS for number in (turn, turn + 1))
        core.to_du(
            form.vector, form.shape, self.m.address, m_point, self.v.address, v_point, self.du.address, tiles, first,
            last, add,
        )  # fmt: skip

    def _update(self, lr: float) -> None:
        form, channels = self.form, self.form.x[2]
        dw = next(buffer for key, _, buffer in self.updates if key == "weight")
        target = self.dfilters or dw
        tile, point = form.tile(False), prod(form.u_shape[1:]) * form.itemsize

        def some(worker: int, item: int) -> None:
            lo, hi = item * FILTERS, min((item + 1) * FILTERS, channels)
            winograd_weights.to_dw(tile, form.vector, form.r, self.du.address, target.array, self.taps.array[worker],
                                   point, form.groups, lo, hi, False)  # fmt: skip

        spread(ceil(channels / FILTERS), some)
        if self.dfilters:
            blocks.filters_from_blocks(self.dfilters.array, form.blocks[0] if form.blocks else 1, dw.array)
        for key, update, gradient in self.updates:
            velocity = self.sgd.velocity[f"{self.of}.{key}"]
            update(self.conv.params[key], velocity, gradient.array, out=(), lr=self.sgd.rates(key, lr)["lr"])


def _of(buffer: Buffer, worker: int) -> int:
    """Address of a worker's part of a buffer."""
    return buffer.address + worker * _bytes_of(buffer)


def _bytes_of(buffer: Buffer) -> int:
    """Bytes of one image, or of one worker's part."""
    return prod(buffer.shape[1:]) * buffer.dtype.itemsize


def _bits(array: Any) -> Any:
    return array.view(f"u{array.dtype.itemsize}")
