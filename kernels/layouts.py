"""Channels first to channels last and back, in blocks of pixels whose lines stay in the first cache."""

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
