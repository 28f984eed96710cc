"""Dropout: each element is kept, or set to zero, by its own random word.

    element i is kept if word i of the Philox stream is at least ⌊rate · 2³²⌋

Two rules keep the expected output the same in training and at test:

- `scale_at_train=True` (Caffe, PyTorch): kept elements are multiplied by 1/(1−rate) while training; at test y = x.
- `scale_at_train=False` (the paper, §4.2): kept elements pass as they are; at test y = (1−rate) · x.

Nothing is cached: the backward draws the same words again from the same key.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from ..backend import Array, device_of
from ..dispatch import op
from ..operation import Spec
from . import checks
from .philox import philox4x32, stream_key


@op(returns=("y",), backward=("dropout_backward",), dynamic=("key",), analytic=True)
def dropout(x: Array, *, rate: float, key: Any, train: bool = True, scale_at_train: bool = True) -> Array:
    """Drop elements of x, of any shape, with probability `rate` in [0, 1).

    key: (seed, layer index, iteration), three ints; or an array of three integers that a kernel reads when it runs.
    Raises ValueError for a rate outside [0, 1) or a key of another form, TypeError for an unknown dtype.
    """
    if not train:
        return x if scale_at_train else x * x.dtype.type(1 - rate)
    stream = stream_key(*map(int, key))
    y = np.zeros_like(x)
    for i, value in enumerate(x.flat):
        if philox4x32((i // 4, 0, 0, 0), stream)[i % 4] >= threshold(rate):
            y.flat[i] = value * x.dtype.type(1 / (1 - rate) if scale_at_train else 1)
    return y


def threshold(rate: float) -> int:
    """The least word that is kept."""
    return int(rate * 2**32)


# y is x times a mask that does not depend on x, hence dx is dy times the same mask.


@op(returns=("dx",), dynamic=("key",))
def dropout_backward(dy: Array, *, rate: float, key: Any, train: bool = True, scale_at_train: bool = True) -> Array:
    """Gradient dx from dy; the forward's keywords, the key above all."""
    return dropout.definition(dy, rate=rate, key=key, train=train, scale_at_train=scale_at_train)


def _infer(name: str, array: Spec, rate: float, train: bool, scale_at_train: bool) -> tuple[Spec, ...]:
    checks.floats(**{name: array})
    checks.number("rate", rate, 0, 1)
    for option, value in {"train": train, "scale_at_train": scale_at_train}.items():
        if not isinstance(value, bool):
            raise ValueError(f"{option} must be True or False, got {value!r}")
    return (array,)


def _check(key: Any) -> None:
    if isinstance(key, tuple):
        if len(key) != 3 or not all([checks.is_int(v) and 0 <= v < 2**64 for v in key]):
            raise ValueError(f"key must be (seed, layer index, iteration), three ints from 0, got {key!r}")
    elif device_of(key) is None or key.shape != (3,) or key.dtype.kind not in "iu":
        raise ValueError(f"key must be three ints or an integer array of shape (3,), got {key!r}")
    elif isinstance(key, np.ndarray) and key.min() < 0:
        raise ValueError(f"key must be three ints from 0, got {key!r}")


dropout.define_infer(lambda x, **keywords: _infer("x", x, **keywords))
dropout.define_check(_check)
dropout_backward.define_infer(lambda dy, **keywords: _infer("dy", dy, **keywords))
dropout_backward.define_check(_check)


@dropout.define_flops
def _(x: Spec, **_: Any) -> int:
    return prod(x.shape)


@dropout_backward.define_flops
def _(dy: Spec, **_: Any) -> int:
    return prod(dy.shape)


@dropout.define_cases
def _(draw: Any) -> Iterator[tuple[str, dict[str, Array], dict[str, Any]]]:
    paper = {"scale_at_train": False}
    yield "half", {"x": draw(3, 7)}, {"rate": 0.5, "key": (0, 0, 0)}
    yield "few of them", {"x": draw(5, 2, 3, 3)}, {"rate": 0.1, "key": (7, 19, 3)}
    yield "the paper's, training", {"x": draw(2, 5)}, {"rate": 0.5, "key": (2**40 + 1, 16, 2), **paper}
    yield "the paper's, at test", {"x": draw(2, 5)}, {"rate": 0.3, "key": (1, 2, 3), "train": False, **paper}
    yield "at test", {"x": draw(2, 5)}, {"rate": 0.5, "key": (1, 2, 3), "train": False}
    yield "many", {"x": draw(3, 700)}, {"rate": 0.4, "key": (5, 6, 7)}
    yield "none", {"x": draw(1, 3)}, {"rate": 0.0, "key": (1, 2, 3)}
