"""Windows that slide over a plane: the arguments `stride`, `size` and `padding`, and the shapes they lead to.

A plane of height H with padding (top, bottom) has P = ⌊(H + top + bottom − R) / stride⌋ + 1 windows of height R. No
window is implied beyond the padded input.
"""

from typing import Any, TypeAlias

from ..backend import Array, array_module
from .checks import is_int

Pair: TypeAlias = tuple[int, int]
Sides: TypeAlias = tuple[Pair, Pair]


def pair(name: str, value: Any) -> Pair:
    """A stride or size: an int or a pair of ints, at least 1, as (vertical, horizontal). Errors begin with `name`."""
    both = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(both) != 2 or not all(is_int(v) and v >= 1 for v in both):
        raise ValueError(f"{name} must be a positive int or a pair of them, got {value!r}")
    return int(both[0]), int(both[1])


def sides(name: str, value: Any) -> Sides:
    """A padding: an int, a pair (vertical, horizontal) or ((top, bottom), (left, right)), as the last form."""
    axes = tuple(value) if isinstance(value, tuple | list) else (value, value)
    both = [tuple(axis) if isinstance(axis, tuple | list) else (axis, axis) for axis in axes]
    if len(both) != 2 or not all(len(axis) == 2 and all(is_int(v) and v >= 0 for v in axis) for axis in both):
        expected = "a non-negative int, a pair, or ((top, bottom), (left, right))"
        raise ValueError(f"{name} must be {expected}, got {value!r}")
    (top, bottom), (left, right) = both
    return (int(top), int(bottom)), (int(left), int(right))


def output_size(plane: tuple[int, ...], size: Pair, stride: Pair, padding: Sides) -> Pair:
    """(P, Q), how many windows fit in a plane (H, W). Raises ValueError where not even one does."""
    counts = [
        (length + before + after - window) // step + 1 if length + before + after >= window else 0
        for length, window, step, (before, after) in zip(plane, size, stride, padding, strict=True)
    ]
    if 0 in counts:
        raise ValueError(f"a window of {size} does not fit into a plane of {tuple(plane)} with padding {padding}")
    return counts[0], counts[1]


def pad(x: Array, padding: Sides, value: float = 0.0) -> Array:
    """A copy of `x` (N, C, H, W) with its planes padded."""
    return array_module(x).pad(x, ((0, 0), (0, 0), *padding), constant_values=value)


def unpad(x: Array, padding: Sides) -> Array:
    """The planes of `x` (N, C, H, W) without their padding, as a view."""
    (top, bottom), (left, right) = padding
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


def tap(x: Array, r: int, s: int, count: Pair, stride: Pair) -> Array:
    """Element (r, s) of every window in the planes of `x` (N, C, H, W), as a view (N, C, P, Q)."""
    return x[:, :, r : r + count[0] * stride[0] : stride[0], s : s + count[1] * stride[1] : stride[1]]
