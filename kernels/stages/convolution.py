"""Convolution, ReLU, LRN and max-pooling as one stage on channels-last images.

An image, or a few, go through all of it while they are in a core's cache: blocks of pixels, V, M, y, the tail. Only
what the next stage or the backward reads goes to memory. The backward goes the same way back, and leaves dM and V of a
chunk of the batch, from which the threads then make the weights' gradient, each some elements of the tile: so no sum is
divided between threads, and the results do not depend on how many there are.
"""

from collections.abc import Iterator
from functools import partial
from math import ceil, prod
from typing import Any

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.layers import Conv2d, Layer, ReLU
from alexnet_np.parallel import spread, threads
from alexnet_np.plan.arena import Arena, Buffer
from alexnet_np.plan.stage import Moments, Stage, Step

from ..conv2d import blocks, in_step
from ..conv2d import channels_last as core
from ..fingerprint import PIECES
from ..together import share_of
from .few import Few
from .filters import Filters
from .geometry import Geometry
from .tails import Tail, tail

# At a time: the matrix products run at full rate from here, and a twentieth faster with twice as many. But V and M of
# more tiles are longer on their way: that pays where U, which is read for them, is the larger.
LEAST_TILES = 72
CHUNK_BYTES = 48 << 20  # of dM and V: whatever the number of threads, so that the sums over images are the same
TURNS = 16  # that the elements of dU are dealt to the threads in


class Convolution(Stage):
    """Conv2d with what follows it."""

    in_steps = True

    def __init__(self, layers: dict[str, Layer], x: Buffer, sgd: Any, form: Geometry) -> None:
        super().__init__(layers, x, sgd)
        self.form, self.dtype, self.images = form, x.dtype, x.shape[0]
        (name, conv), *after = layers.items()
        assert isinstance(conv, Conv2d)
        self.conv, self.of = conv, name
        self.relu = bool(after) and isinstance(after[0][1], ReLU)
        self.few = Few()
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
        least = LEAST_TILES * (1 + (prod(form.u_shape) > LEAST_TILES * form.elements * (form.x[2] + form.y[2])))
        step, self.chunk = ceil(least / form.tiles), max(1, CHUNK_BYTES // per_image)
        if self.chunk < self.images:
            self.chunk = self.chunk // (2 * step) * (2 * step) or self.chunk  # else two threads have unequal parts
        self.chunk = min(self.chunk, self.images)
        self.step = min(step, ceil(self.chunk / workers))
        self.x.touch(forward)
        arena.add(self.y).touch(forward)
        for i, made in enumerate(self.tails):
            made.reserve(f"{self.name}.{i}", arena, moments, self.images, workers)
        self.filters = Filters(self.of, self.conv, form, self.dtype, self.sgd)
        self.filters.reserve(arena, moments, workers, self.dx is not None)
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

    def _reserve_backward(self, arena: Arena, moment: int, workers: int) -> None:
        form = self.form
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
            self.dv = self._bytes(arena, "dv", workers, form.v(tiles), moment)
            self.dblocks = self._array(arena, "dblocks", (workers, self.step, *form.x), moment) if form.blocks else None
        if self.filters.trained:
            self.v = self._bytes(arena, "v", 1, form.elements * form.kept_point(self.chunk * form.tiles), moment)

    def _array(self, arena: Arena, name: str, shape: tuple[int, ...], *moments: int) -> Buffer:
        return arena.buffer(f"{self.of}.{name}", shape, self.dtype).touch(*moments)

    def _bytes(self, arena: Arena, name: str, workers: int, size: int, moment: int) -> Buffer:
        room = ceil(size / 64) * 64 + 64  # 64 more, so that two threads' scratch begins in different sets of a cache
        return arena.buffer(f"{self.of}.{name}", (workers, room), np.uint8).touch(moment)

    # Running.

    def forward(self, train: bool) -> None:
        self.spare.array[...] = 0
        items, filters = ceil(self.images / self.step), self.filters
        few = items < threads()
        if train or not filters.fresh or (not few and not filters.unchanged()):
            filters.to_u()
        if not few:
            spread(items, self._forward)
            return
        self.few.run([self], compare=not train)

    def _forward(self, worker: int, item: int) -> None:
        """Some images through all of the stage."""
        form, first, images = self.form, *self._part(item)
        places, tiles = self._places(first, worker), images * form.tiles
        core.forward(
            form.tile(self.relu), form.vector, form.shape, self._input(first, images, worker), self.filters.u.address,
            self._bias, places[0], _of(self.scratch, worker), _of(self.spare, worker), 0, tiles, tiles,
        )  # fmt: skip
        for made, x, y in zip(self.tails, places[:-1], places[1:], strict=True):
            made.forward(x, y, first, 0, images * made.y[0])

    def steps(self, state: Array, compare: bool) -> list[Step]:
        if not self.filters.fresh:
            self.filters.to_u()
        return [
            step
            for item in range(ceil(self.images / self.step))
            for step in self._steps_of(item, state, compare and item == 0)
        ]

    def _steps_of(self, item: int, state: Array, compare: bool) -> Iterator[Step]:
        """Some images by all threads together: the convolution, then each tail."""
        form, first, images = self.form, *self._part(item)
        places, given = self._places(first, 0), self.x.array[first : first + images]
        blocks, x = (self.blocks.array[0, :images], self.blocks.address) if self.blocks else (given, _of(self.x, first))
        rest = (
            form.tile(self.relu), form.vector, form.shape, given, form.blocks or (0, 0, 0), blocks, x,
            self.filters.u.address, self._bias, places[0], _of(self.scratch, 0), _of(self.spare, 0),
            images * form.tiles, self.filters.bits(), self.filters.prints[: PIECES if compare else 0],
        )  # fmt: skip
        zeros = self.spare.array[0]

        def convolve(part: int, parts: int) -> bool:
            zeros[...] = 0  # by each: what lay there was another stage's
            return bool(in_step.forward(part, parts, state, *rest))

        yield convolve
        for made, x_of, y_of in zip(self.tails, places[:-1], places[1:], strict=True):
            rows = images * made.y[0]
            yield partial(_tail_step, made.forward, x_of, y_of, first, rows)

    def renew(self) -> None:
        if not self.filters.unchanged():
            self.filters.to_u()

    def _part(self, item: int) -> tuple[int, int]:
        """The first of an item's images, and how many they are."""
        first = item * self.step
        return first, min(self.step, self.images - first)

    @property
    def _bias(self) -> int:
        return int(self.conv.params["bias"].ctypes.data)

    def _places(self, first: int, worker: int) -> list[int]:
        """Where the convolution of the images from `first` on writes, and each tail."""
        return [*(self._between(i, first, worker) for i in range(len(self.tails))), _of(self.y, first)]

    def _input(self, first: int, images: int, worker: int) -> int:
        """Address of these images with channels last."""
        if not self.blocks:
            return _of(self.x, first)
        assert self.form.blocks
        target = self.blocks.array[worker, :images]
        rows = images * target.shape[1]
        blocks.to_blocks(self.x.array[first : first + images], *self.form.blocks, target, 0, rows)
        return int(target.ctypes.data)

    def _between(self, i: int, first: int, worker: int) -> int:
        buffer, whole = self.between[i]
        return buffer.address + (first if whole else worker * self.step) * _bytes_of(buffer)

    def backward(self, lr: float) -> None:
        self.filters.prepare_backward()
        self.spare.array[...] = 0
        for begin in range(0, self.images, self.chunk):
            images = min(self.chunk, self.images - begin)
            spread(
                ceil(images / self.step),
                partial(self._backward, begin=begin, in_chunk=images),
            )
            if self.filters.trained:
                spread(TURNS, partial(self._weights, begin=begin, images=images))
        if self.filters.trained:
            self.filters.update(lr)

    def _backward(self, worker: int, item: int, begin: int, in_chunk: int) -> None:
        """dM, V and dx of some images of the chunk that begins at image `begin`."""
        form, at = self.form, item * self.step
        first, images = begin + at, min(self.step, in_chunk - at)
        assert self.dy
        dy = _of(self.dy, first)
        for i in reversed(range(len(self.tails))):
            made, dx = self.tails[i], _of(self.gradients[i], worker)
            x = self._between(i, first, worker) if made.keeps_input else 0
            made.backward(dy, x, dx, first, images, worker)
            dy = dx
        tiles, spare = images * form.tiles, _of(self.spare, worker)
        m_point, v_point = form.m_point(in_chunk * form.tiles), form.kept_point(in_chunk * form.tiles)
        dm = self.m.address + at * form.tiles * form.y[2] * form.itemsize
        masked = self.relu and not self.tails
        y = _of(self.y, first) if masked else 0
        core.gradient_tiles(form.tile(masked), form.vector, form.shape, dy, y, dm, m_point, spare, 0, tiles)
        if self.dx:
            dx = _of(self.dblocks, worker) if self.dblocks else _of(self.dx, first)
            ut, dv = self.filters.ut.address, _of(self.dv, worker)
            core.to_dx(form.tile(False), form.vector, form.shape, dm, m_point, ut, dx, dv, spare, 0, images)
            if self.dblocks:
                assert form.blocks
                made_of = self.dblocks.array[worker, :images]
                blocks.from_blocks(made_of, *form.blocks, self.dx.array[first : first + images])
        if self.filters.trained:
            v = self.v.address + at * form.tiles * form.kept_row
            x = self._input(first, images, worker)
            core.input_tiles(form.tile(False), form.vector, form.shape, x, v, v_point, form.kept_row, spare, 0, tiles)

    def _weights(self, _: int, turn: int, begin: int, images: int) -> None:
        """Some elements of dU, and in the first turn db, from a chunk."""
        form, filters, tiles = self.form, self.filters, images * self.form.tiles
        m_point, v_point, add = form.m_point(tiles), form.kept_point(tiles), int(begin > 0)
        if turn == 0:
            core.to_db(
                form.vector, form.shape, self.m.address, m_point, filters.one.address, filters.db.address, tiles, add
            )
        first, last = (number * form.elements // TURNS for number in (turn, turn + 1))
        core.to_du(
            form.vector, form.shape, self.m.address, m_point, self.v.address, v_point, form.kept_row,
            filters.du.address, tiles, first, last, add,
        )  # fmt: skip


def _of(buffer: Buffer, number: int) -> int:
    """Address of an image, or of a worker's part, in a buffer."""
    return buffer.address + number * _bytes_of(buffer)


def _bytes_of(buffer: Buffer) -> int:
    """Bytes of one image, or of one worker's part."""
    return prod(buffer.shape[1:]) * buffer.dtype.itemsize


def _tail_step(forward: Any, x: int, y: int, first: int, rows: int, part: int, parts: int) -> None:
    forward(x, y, first, *share_of(rows, part, parts))
