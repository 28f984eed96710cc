"""What the operations check of their inputs: TypeError or ValueError, with the value and what was expected."""

from math import isfinite
from typing import Any

import numpy as np

from ..backend import Array
from ..operation import Spec
from ..precision import ALL, KEPT, accumulator

REAL = int, float, np.floating, np.integer
UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


def is_int(value: Any) -> bool:
    """An int, Python's or NumPy's, and not a bool."""
    return type(value) is int or isinstance(value, np.integer)


def floats(**specs: Spec) -> None:
    """Every array has one and the same floating dtype; beside bfloat16, those that are KEPT have float32."""
    first, dtype = next((name, spec.dtype) for name, spec in specs.items())
    for name, spec in specs.items():
        if spec.dtype.name not in ALL:
            raise TypeError(f"{name} has dtype {spec.dtype}, expected float32 or float64")
        expected = accumulator(dtype) if name in KEPT else dtype
        if spec.dtype != expected:
            rule = "one dtype in a call" if expected == dtype else f"{expected} beside {dtype}"
            raise TypeError(f"{name} has dtype {spec.dtype} but {first} has {dtype}; {rule}")


def rank(name: str, spec: Spec, axes: str) -> None:
    """The array has one dimension for each of `axes`, for example 'N C H W'."""
    if len(spec.shape) != len(axes.split()):
        raise ValueError(f"{name} has shape {spec.shape}, expected ({', '.join(axes.split())})")


def shape(name: str, spec: Spec, expected: tuple[int, ...], why: str = "") -> None:
    """The array has exactly this shape."""
    if spec.shape != tuple(expected):
        raise ValueError(f"{name} has shape {spec.shape}, expected {tuple(expected)}{why and f' ({why})'}")


def four_sides(name: str, value: Any) -> tuple[int, int, int, int]:
    """A shape that is given as a keyword: four positive ints."""
    if not (isinstance(value, tuple) and len(value) == 4 and all(is_int(v) and v > 0 for v in value)):
        raise ValueError(f"{name} must be four positive ints, got {value!r}")
    return int(value[0]), int(value[1]), int(value[2]), int(value[3])


def count(name: str, value: Any, least: int = 1) -> None:
    """An int of at least `least`."""
    if not is_int(value) or value < least:
        raise ValueError(f"{name} must be an int of at least {least}, got {value!r}")


def number(name: str, value: Any, low: float = -np.inf, below: float = np.inf) -> None:
    """A finite real number in [low, below)."""
    if not isinstance(value, REAL) or isinstance(value, bool) or not isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    if not low <= value < below:
        raise ValueError(f"{name} must lie in [{low}, {below}), got {value!r}")


def below(name: str, array: Array, limit: int, why: str) -> None:
    """Every element of an integer array is in 0 … limit − 1. One pass: seen as unsigned, a negative one is large."""
    worst = int(array.reshape(-1)[array.view(UNSIGNED[array.dtype.itemsize]).argmax()])
    if not 0 <= worst < limit:
        raise ValueError(f"{name} has {worst}, expected 0 … {limit - 1} ({why})")


def divides(groups: Any, name: str, channels: int) -> None:
    """`groups` is a positive int that divides the channels."""
    count("groups", groups)
    if channels % groups:
        raise ValueError(f"{name} has {channels} channels, which groups={groups} does not divide")
