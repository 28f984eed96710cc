"""dropout in one pass, whose random words stay in registers.

Math     y[i] = factor · x[i] if word i of the Philox stream is at least ⌊rate · 2³²⌋, else 0; dx the same of dy
Shapes   any, seen as one row; four elements share a block of the stream
Threads  each takes contiguous parts of the blocks
Traffic  the least: x and y once. The ten rounds of a block, in vectors of blocks, take about as long
Change   against cpu_numpy: the words are never in memory, and threads
"""

from collections.abc import Callable
from typing import Any

from alexnet_np.backend import Array
from alexnet_np.ops import dropout, dropout_backward
from alexnet_np.ops.dropout import threshold
from alexnet_np.ops.philox import stream_key

from ..chunks import small_in_tests
from ..compiled import LEAST_MOVED, jit
from ..philox import BLOCKS, GROUP, keep
from ..team import parallel_for, team

LEAST = LEAST_MOVED // 4  # elements worth a thread: a block's rounds take several times as long as to move four
small_in_tests(__name__, LEAST=1, LEAST_MOVED=1)


def _drop_of(x: Array, rate: float, train: bool, scale_at_train: bool, out: Array) -> Callable[[Any], None]:
    """What remains to be done with each key."""
    x, y = x.reshape(-1), out.reshape(-1)
    n, least, factor = x.size, threshold(rate), 1 / (1 - rate) if scale_at_train else 1.0
    at_test = x.dtype.type(1 if scale_at_train else 1 - rate)

    def drop(key: Any) -> None:
        key0, key1 = stream_key(*map(int, key))
        _keep(team(n, LEAST), x, key0, key1, least, factor, y)

    return drop if train else lambda _: _scale(team(n, LEAST_MOVED), x, at_test, y)


@jit
def _keep(members, x, key0, key1, least, factor, y):  # type: ignore[no-untyped-def]
    parallel_for(members, (len(x) + GROUP - 1) // GROUP, _keep_part, (x, key0, key1, least, factor, y))


@jit
def _keep_part(lo, hi, x, key0, key1, least, factor, y):  # type: ignore[no-untyped-def]
    x, y = x[lo * GROUP : hi * GROUP], y[lo * GROUP : hi * GROUP]
    keep(x, lo * BLOCKS, key0, key1, least, factor, y)


@jit
def _scale(members, x, factor, y):  # type: ignore[no-untyped-def]
    parallel_for(members, len(x), _scale_part, (x, factor, y))


@jit
def _scale_part(lo, hi, x, factor, y):  # type: ignore[no-untyped-def]
    x, y = x[lo:hi], y[lo:hi]
    for i in range(len(x)):
        y[i] = factor * x[i]


def forward_of(x: Array, *, rate: float, train: bool, scale_at_train: bool, out: Array) -> Callable[[Any], None]:
    return _drop_of(x, rate, train, scale_at_train, out)


@dropout.kernel("cpu_numba", on=forward_of)
def forward(x: Array, *, rate: float, key: Any, train: bool, scale_at_train: bool, out: Array) -> None:
    _drop_of(x, rate, train, scale_at_train, out)(key)


def backward_of(dy: Array, *, rate: float, train: bool, scale_at_train: bool, out: Array) -> Callable[[Any], None]:
    return _drop_of(dy, rate, train, scale_at_train, out)


@dropout_backward.kernel("cpu_numba", on=backward_of)
def backward(dy: Array, *, rate: float, key: Any, train: bool, scale_at_train: bool, out: Array) -> None:
    _drop_of(dy, rate, train, scale_at_train, out)(key)
