"""Channels first to channels last and back, in blocks of pixels whose lines stay in the first cache."""

from alexnet_np.backend import Array

from .compiled import jit

BLOCK = 16  # pixels: a line of float32


@jit
def to_channels_last(x, y):  # type: ignore[no-untyped-def]
    """x (n, C, pixels) into y (n, pixels, C)."""
    for i in range(x.shape[0]):
        for first in range(0, x.shape[2], BLOCK):
            for c in range(x.shape[1]):
                for p in range(first, min(first + BLOCK, x.shape[2])):
                    y[i, p, c] = x[i, c, p]


@jit
def to_channels_first(x, y):  # type: ignore[no-untyped-def]
    """x (n, pixels, C) into y (n, C, pixels)."""
    for i in range(x.shape[0]):
        for first in range(0, x.shape[1], BLOCK):
            for c in range(x.shape[2]):
                for p in range(first, min(first + BLOCK, x.shape[1])):
                    y[i, c, p] = x[i, p, c]


class Images:
    """Images (N, C, H, W) for a kernel that works on channels last: it reads a few at a time, and writes them back."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def read(self, x: Array, xs: Array) -> None:
        """x (n, C, H, W) into xs (n, H·W, C)."""
        to_channels_last(x.reshape(len(x), x.shape[1], -1), xs)

    def write(self, xs: Array, x: Array) -> None:
        """The way back."""
        to_channels_first(xs, x.reshape(len(x), x.shape[1], -1))
