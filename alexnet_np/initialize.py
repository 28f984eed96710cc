"""How parameters are first drawn: functions of (random generator, shape, fan_in, fan_out).

fan_in is the number of inputs that an output of the layer sums over, fan_out the number of outputs that an input feeds.
Draws are made in float32, so that a float64 network starts from the same values.
"""

from collections.abc import Callable
from math import sqrt
from typing import TypeAlias

import numpy as np

from .backend import Array

Initializer: TypeAlias = Callable[[np.random.Generator, tuple[int, ...], int, int], Array]


def constant(value: float) -> Initializer:
    """Every element is `value`."""
    return lambda random, shape, fan_in, fan_out: np.full(shape, value, np.float32)


zero = constant(0)


def normal(std: float) -> Initializer:
    """N(0, std²); the paper's is `normal(0.01)`."""
    return lambda random, shape, fan_in, fan_out: _scaled(random.standard_normal(shape, np.float32), std)


def he(random: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
    """N(0, 2 / fan_in), which keeps the variance through ReLUs (He et al. 2015)."""
    return _scaled(random.standard_normal(shape, np.float32), sqrt(2 / fan_in))


def fan_in_uniform(random: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
    """U(−1/√fan_in, 1/√fan_in), PyTorch's default for weights and biases."""
    return _scaled(2 * random.random(shape, np.float32) - 1, sqrt(1 / fan_in))


def glorot_uniform(random: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
    """U(−a, a) with a = √(6 / (fan_in + fan_out)), Keras's default for weights (Glorot and Bengio 2010)."""
    return _scaled(2 * random.random(shape, np.float32) - 1, sqrt(6 / (fan_in + fan_out)))


def _scaled(drawn: Array, factor: float) -> Array:
    drawn *= np.float32(factor)
    return drawn
