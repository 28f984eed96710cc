"""One block of memory for everything that a step needs: buffers that are not in use at the same time share a place.

Each buffer is told when it is touched; it is in use from the first of these moments to the last. The largest gets its
place first, each the lowest one where nothing else lies that is in use meanwhile ("greedy by size", Pisarchyk and Lee
2020).
"""

from math import prod
from typing import Any

import numpy as np

from ..backend import Array, address, module_of

ALIGN = 64  # bytes: a line of the cache
GUARD = 64  # bytes before the first buffer and behind each: vector code may read beyond a row


class Buffer:
    """An array that will lie in an arena. `array` and `address` are there once the arena was allocated.

    name     for messages
    shape    and dtype, as of an array
    layout   of images: "first" for (N, C, H, W), "last" for (N, H, W, C); "" for anything else
    """

    def __init__(self, name: str, shape: tuple[int, ...], dtype: Any, layout: str = "") -> None:
        self.name, self.shape, self.dtype, self.layout = name, tuple(shape), np.dtype(dtype), layout
        self.first: int | None = None
        self.last = -1
        self.offset = 0
        self.views: list[Buffer] = []
        self.array: Array = None
        self.address = 0

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * int(self.dtype.itemsize)

    def view(self, name: str, shape: tuple[int, ...], layout: str = "") -> "Buffer":
        """The same memory under another shape. It is touched when either is."""
        other = _View(self, name, shape, layout)
        self.views.append(other)
        return other

    def touch(self, *moments: int) -> "Buffer":
        """Say when it is written or read."""
        self.first = min(moments) if self.first is None else min(self.first, *moments)
        self.last = max(self.last, *moments)
        return self

    def hold(self, array: Array) -> None:
        """Stand for this array from now on."""
        self.array, self.address = array, address(array)
        for view in self.views:
            view.hold(array.reshape(view.shape))

    def overlaps(self, other: "Buffer") -> bool:
        """Whether both are in use at some moment."""
        assert self.first is not None and other.first is not None
        return self.first <= other.last and other.first <= self.last


class _View(Buffer):
    def __init__(self, base: Buffer, name: str, shape: tuple[int, ...], layout: str) -> None:
        assert prod(shape) == prod(base.shape), f"{name}: {shape} has other elements than {base.shape}"
        super().__init__(name, shape, base.dtype, layout)
        self.base = base

    def touch(self, *moments: int) -> Buffer:
        self.base.touch(*moments)
        return self

    def view(self, name: str, shape: tuple[int, ...], layout: str = "") -> Buffer:
        return self.base.view(name, shape, layout)


class Arena:
    """Buffers, their places, and the memory once `allocate` was called."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        self.nbytes = 0

    def add(self, buffer: Buffer) -> Buffer:
        self.buffers.append(buffer)
        return buffer

    def buffer(self, name: str, shape: tuple[int, ...], dtype: Any, layout: str = "") -> Buffer:
        return self.add(Buffer(name, shape, dtype, layout))

    def lay_out(self) -> None:
        """Give every buffer its offset. Raises ValueError for one that nobody touches."""
        placed: list[Buffer] = []
        for buffer in sorted(self.buffers, key=lambda b: -b.nbytes):
            if buffer.first is None:
                raise ValueError(f"the buffer {buffer.name} is never used")
            offset = ALIGN
            for other in sorted((b for b in placed if b.overlaps(buffer)), key=lambda b: b.offset):
                if offset + _room(buffer) <= other.offset:
                    break
                offset = max(offset, other.offset + _room(other))
            buffer.offset = offset
            placed.append(buffer)
        self.nbytes = max((b.offset + _room(b) for b in placed), default=0) + ALIGN

    def allocate(self, device: str = "cpu") -> None:
        """Get the memory, and every buffer's array in it."""
        block = module_of(device).empty(self.nbytes, np.uint8)
        skip = -address(block) % ALIGN
        memory = block[skip : skip + self.nbytes - ALIGN]
        for buffer in self.buffers:
            part = memory[buffer.offset : buffer.offset + buffer.nbytes]
            buffer.hold(part.view(buffer.dtype).reshape(buffer.shape))


def _room(buffer: Buffer) -> int:
    return -(-(buffer.nbytes + GUARD) // ALIGN) * ALIGN
