"""dropout over the stream of Philox words, some tens of thousands at a time; forward and backward are one function."""

from typing import Any

from alexnet_np.backend import Array, array_module
from alexnet_np.ops import dropout, dropout_backward
from alexnet_np.ops.dropout import threshold
from alexnet_np.ops.philox import stream_key, words

from ..chunks import small_in_tests

STEP = 1 << 16  # elements; their words and the rounds' intermediates fit the second-level cache
small_in_tests(__name__, STEP=8)


def _drop(x: Array, rate: float, key: Any, train: bool, scale_at_train: bool, out: Array) -> None:
    xp = array_module(x)
    if not train:
        xp.multiply(x, x.dtype.type(1 if scale_at_train else 1 - rate), out=out)
        return
    stream = stream_key(*map(int, key))
    factor = x.dtype.type(1 / (1 - rate) if scale_at_train else 1)
    x, out = x.reshape(-1), out.reshape(-1)
    for start in range(0, x.size, STEP):
        part = slice(start, min(start + STEP, x.size))
        kept = words(start, part.stop - start, stream, xp) >= threshold(rate)
        out[part] = 0
        xp.copyto(out[part], x[part] * factor, where=kept)


@dropout.kernel("cpu_numpy")
def forward(x: Array, *, rate: float, key: Any, train: bool, scale_at_train: bool, out: Array) -> None:
    _drop(x, rate, key, train, scale_at_train, out)


@dropout_backward.kernel("cpu_numpy")
def backward(dy: Array, *, rate: float, key: Any, train: bool, scale_at_train: bool, out: Array) -> None:
    _drop(dy, rate, key, train, scale_at_train, out)
