"""The gradient check of a layer, on a small cut of a step's own numbers: the same operation with the same keywords, on
fewer channels and the first rows and columns."""

from typing import Any

import numpy as np

from ..backend import Array
from ..gradient_check import gradcheck
from ..layers import LRN, Conv2d, Dropout, Linear, MaxPool2d, ReLU
from ..ops.windows import pair
from .seen import Seen

CHANNELS, SIDE, FEATURES = 2, 4, 12  # of a group; rows and columns of a map that has no windows; of a row
ELEMENTS = 60  # of each array


def check(seen: Seen) -> str:
    """What was checked, and the verdict in a line; empty for a layer that computes nothing or numbers that are none."""
    given = cut(seen)
    if given is None or not all(np.isfinite(array).all() for array in given[0]):
        return ""
    arrays, keywords = given
    report = gradcheck(seen.layer.op, *arrays, elements=ELEMENTS, **keywords)
    shapes = ", ".join(" × ".join(map(str, array.shape)) for array in arrays)
    verdict = "right" if report.ok else "; ".join(line for kind, line in report.lines() if kind == "wrong")
    return f"gradient check of {seen.layer.op.name} on {shapes} of these numbers: {verdict}"


def cut(seen: Seen) -> tuple[list[Array], dict[str, Any]] | None:
    """The inputs of the layer's operation, and its keywords."""
    layer, x, options = seen.layer, seen["x"], dict(seen.options)
    if isinstance(layer, Conv2d):
        w, groups = seen["weight"], options["groups"]
        rows, columns = _sides(w.shape[2:], pair("stride", options["stride"]))
        filters, channels = _some(len(w), groups), _some(x.shape[1], groups)
        kept = w[filters][:, : min(CHANNELS, w.shape[1])]
        return [_own(x[:1, channels, :rows, :columns]), _own(kept), _own(seen["bias"][filters])], options
    if isinstance(layer, MaxPool2d):
        rows, columns = _sides(pair("size", options["size"]), pair("stride", options["stride"]))
        return [_own(x[:1, :CHANNELS, :rows, :columns])], options
    if isinstance(layer, LRN):
        channels = _some(x.shape[1], options["groups"], options["size"] + 1)
        return [_own(x[:1, channels, :SIDE, :SIDE])], options
    if isinstance(layer, Linear):
        w = seen["weight"]
        return [_own(x[:1, :FEATURES]), _own(w[:FEATURES, :FEATURES]), _own(seen["bias"][:FEATURES])], {}
    if isinstance(layer, ReLU | Dropout):
        small = x[:1, : FEATURES if x.ndim == 2 else CHANNELS]
        small = small if x.ndim == 2 else small[:, :, :SIDE, :SIDE]
        return [_own(small)], options | ({"key": layer.key} if isinstance(layer, Dropout) else {})
    return None


def _some(count: int, groups: int, of_group: int = CHANNELS) -> Array:
    """The first channels of each group."""
    width = count // groups
    return (np.arange(groups)[:, None] * width + np.arange(min(of_group, width))).ravel()


def _sides(size: tuple[int, ...], stride: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns for a few windows."""
    return size[0] + 2 * stride[0], size[1] + 2 * stride[1]


def _own(array: Array) -> Array:
    return np.ascontiguousarray(array)
