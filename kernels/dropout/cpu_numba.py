"""dropout in one pass, whose random words stay in registers.

Math     y[i] = factor · x[i] if word i of the Philox stream is at least ⌊rate · 2³²⌋, else 0; dx the same of dy
Shapes   any, seen as one row; four elements share a block of the stream
Threads  each has a contiguous part of the blocks
Traffic  the least: x and y once. The ten rounds of a block, in vectors of blocks, take about as long
Change   against cpu_numpy: the words are never in memory, and threads
"""

from math import ceil
from typing import Any

from alexnet_np.backend import Array
from alexnet_np.ops import dropout, dropout_backward
from alexnet_np.ops.dropout import threshold
from alexnet_np.ops.philox import stream_key
from alexnet_np.parallel import share

from ..compiled import LEAST_MOVED, jit
from ..philox import VECTORS, keep

LEAST_BLOCKS = LEAST_MOVED // 16  # that are worth a thread: their rounds take several times as long as to move elements


def _drop(x: Array, rate: float, key: Any, train: bool, scale_at_train: bool, out: Array) -> None:
    x, y = x.reshape(-1), out.reshape(-1)
    if not train:
        factor = x.dtype.type(1 if scale_at_train else 1 - rate)
        share(x.size, lambda lo, hi: _scale(x[lo:hi], factor, y[lo:hi]), least=LEAST_MOVED)
        return
    key0, key1 = stream_key(*map(int, key))
    least, factor = threshold(rate), 1 / (1 - rate) if scale_at_train else 1.0

    def body(lo: int, hi: int) -> None:
        part = slice(4 * lo, 4 * hi)
        keep(VECTORS[x.itemsize], x[part], lo, key0, key1, least, factor, y[part])

    share(ceil(x.size / 4), body, least=LEAST_BLOCKS)


@jit
def _scale(x, factor, y):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        y[i] = factor * x[i]


@dropout.kernel("cpu_numba")
def forward(x: Array, *, rate: float, key: Any, train: bool, scale_at_train: bool, out: Array) -> None:
    _drop(x, rate, key, train, scale_at_train, out)


@dropout_backward.kernel("cpu_numba")
def backward(dy: Array, *, rate: float, key: Any, train: bool, scale_at_train: bool, out: Array) -> None:
    _drop(dy, rate, key, train, scale_at_train, out)
