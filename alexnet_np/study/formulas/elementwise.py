"""Terms of the layers that work on each element by itself: ReLU, dropout and flatten have one."""

import numpy as np

from ...ops.dropout import threshold
from ...ops.philox import philox4x32, stream_key
from ..seen import Seen, one
from ..terms import Block, Column, Index, constants, read


def relu_y(seen: Seen, index: Index) -> list[Block]:
    """y = x · [x > 0], and NaN stays"""
    at = one(index)
    x = read(seen["x"], at)
    return [Block((seen.x(at, x), Column("x > 0", np.where(x <= 0, 0.0, 1.0), at, choice=True)))]


def relu_dx(seen: Seen, index: Index) -> list[Block]:
    """dx = dy · [x > 0]"""
    at = one(index)
    passes = (read(seen["x"], at) > 0).astype(np.float64)
    return [Block((seen.dy(at, read(seen["dy"], at)), Column("x > 0", passes, at, choice=True)))]


def _dropout(seen: Seen, index: Index) -> list[Column]:
    """Whether the element is kept, and what it is multiplied by: from its own word of the stream."""
    rate, scaled = seen.options["rate"], seen.options["scale_at_train"]
    if not seen.recording.train[seen.name]:
        return [constants("factor", 1.0 if scaled else 1 - rate, 1)]
    layer, i = seen.layer, int(np.ravel_multi_index(index, seen["x"].shape))
    key = stream_key(layer.seed, layer.index, seen.recording.iteration)  # type: ignore[attr-defined]
    kept = philox4x32((i // 4, 0, 0, 0), key)[i % 4] >= threshold(rate)
    return [
        constants("kept", float(kept), 1, choice=True),
        constants("factor", 1 / (1 - rate) if scaled else 1.0, 1),
    ]


def dropout_y(seen: Seen, index: Index) -> list[Block]:
    """y = x · kept · factor; when it predicts, nothing is dropped"""
    at = one(index)
    return [Block((seen.x(at, read(seen["x"], at)), *_dropout(seen, index)))]


def dropout_dx(seen: Seen, index: Index) -> list[Block]:
    """dx = dy · kept · factor"""
    at = one(index)
    return [Block((seen.dy(at, read(seen["dy"], at)), *_dropout(seen, index)))]


def flatten_y(seen: Seen, index: Index) -> list[Block]:
    """y[n,i] = x[n,c,h,w] with i = (c·H + h)·W + w"""
    n, i = index
    x = seen["x"]
    at = one((n, *map(int, np.unravel_index(i, x.shape[1:]))))
    return [Block((seen.x(at, read(x, at)),))]


def flatten_dx(seen: Seen, index: Index) -> list[Block]:
    """dx[n,c,h,w] = dy[n,i] with i = (c·H + h)·W + w"""
    n, *place = index
    at = one((n, int(np.ravel_multi_index(tuple(place), seen["x"].shape[1:]))))
    return [Block((seen.dy(at, read(seen["dy"], at)),))]
