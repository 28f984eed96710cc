"""The generated set: small colour images whose classes need real filters; the default where no data is at hand.

Gratings of four orientations and two frequencies, edges between opponent colours, and shapes: each with a random
phase or place, size, colours and noise, so that neither a pixel nor a mean colour gives the class away.
"""

from collections.abc import Callable
from math import pi, radians

import numpy as np

from ..backend import Array
from .dataset import InMemory, Split

Picture = Callable[
    [np.random.Generator, Array, Array], Array
]  # from (random, rows, columns), each −1 … 1, to (3, H, W)
NOISE = 22.0


def _grating(degrees: float, cycles: float) -> Picture:
    def picture(random: np.random.Generator, v: Array, u: Array) -> Array:
        angle = radians(degrees + random.uniform(-8, 8))
        wave = np.sin(
            pi * cycles * random.uniform(0.9, 1.1) * (u * np.cos(angle) + v * np.sin(angle)) + random.uniform(0, 2 * pi)
        )
        return random.uniform(90, 165) + random.uniform(35, 75, (3, 1, 1)) * wave

    return picture


def _edge(one: tuple[int, int, int], other: tuple[int, int, int]) -> Picture:
    def picture(random: np.random.Generator, v: Array, u: Array) -> Array:
        angle, offset = random.uniform(0, 2 * pi), random.uniform(-0.4, 0.4)
        side = np.tanh(4 * (u * np.cos(angle) + v * np.sin(angle) - offset)) / 2 + 0.5
        a, b = (np.array(c, float)[:, None, None] + random.uniform(-30, 30, (3, 1, 1)) for c in (one, other))
        return a * side + b * (1 - side)

    return picture


def _shape(inside: Callable[[Array, Array], Array]) -> Picture:
    """A figure of one colour on another; `inside` tells from (row, column), in units of its size, what it covers."""

    def picture(random: np.random.Generator, v: Array, u: Array) -> Array:
        size, (row, column) = random.uniform(0.4, 0.65), random.uniform(-0.3, 0.3, 2)
        back, step = (
            random.uniform(70, 185, (3, 1, 1)),
            random.choice([-1, 1], (3, 1, 1)) * random.uniform(45, 70, (3, 1, 1)),
        )
        return back + step * inside((v - row) / size, (u - column) / size)

    return picture


def _disc(v: Array, u: Array) -> Array:
    return u**2 + v**2 < 1


def _ring(v: Array, u: Array) -> Array:
    return (u**2 + v**2 < 1) & (u**2 + v**2 > 0.4)


def _cross(v: Array, u: Array) -> Array:
    return (np.maximum(abs(u), abs(v)) < 1) & (np.minimum(abs(u), abs(v)) < 0.3)


def _triangle(v: Array, u: Array) -> Array:
    return (abs(v) < 0.9) & (2 * abs(u) < v + 1)


CLASSES: dict[str, Picture] = {
    "vertical": _grating(0, 4),
    "rising": _grating(45, 4),
    "horizontal": _grating(90, 4),
    "falling": _grating(135, 4),
    "fine vertical": _grating(0, 8),
    "fine horizontal": _grating(90, 8),
    "red-green edge": _edge((180, 80, 100), (80, 150, 100)),
    "blue-yellow edge": _edge((80, 90, 190), (165, 155, 70)),
    "disc": _shape(_disc),
    "ring": _shape(_ring),
    "cross": _shape(_cross),
    "triangle": _shape(_triangle),
}


def draw(label: int, random: np.random.Generator, side: int) -> Array:
    """One image of a class, uint8 (3, side, side)."""
    axis = np.linspace(-1, 1, side)
    picture = list(CLASSES.values())[label](random, axis[:, None], axis[None, :])
    return np.clip(picture + random.normal(0, NOISE, (3, side, side)), 0, 255).astype(np.uint8)


def load(train: int = 6000, test: int = 1200, side: int = 32, seed: int = 0) -> Split:
    """`train` and `test` images, the classes in turn; the same for the same seed, and no image in both parts."""
    parts = []
    for part, count in enumerate((train, test)):
        labels = [i % len(CLASSES) for i in range(count)]
        pixels = [draw(label, np.random.default_rng((seed, part, i)), side) for i, label in enumerate(labels)]
        parts.append(InMemory(np.stack(pixels), np.array(labels), list(CLASSES)))
    return Split(*parts)
