"""dropout in Numba CUDA, forward and backward alike: four words of a Philox block at a time.

Math     y = factor · x where the element's word is at least the threshold, else 0
Shapes   any, seen as one row
Threads  as many as `over` makes, which take turns; each has four neighbours, which share a counter
Traffic  the least: x and y once; no mask and no state of a generator
Change   against the definition: all blocks at once
"""

from typing import Any

import numpy as np

from alexnet_np.backend import Array, array_module
from alexnet_np.ops import dropout, dropout_backward
from alexnet_np.ops.dropout import threshold

from ..numba_cuda import cuda, kernel, over

MASK = 0xFFFFFFFF
ROW, KEY = "float32[::1]", "int64[::1]"


@kernel(ROW, ROW, "int64", "float32", KEY)
def _drop(x, y, least, factor, key):  # type: ignore[no-untyped-def]
    blocks = (x.size + 3) // 4
    for block in range(cuda.grid(1), blocks, cuda.gridsize(1)):
        mask, seed = np.uint64(MASK), np.uint64(key[0])
        folded = (seed ^ (seed >> np.uint64(32))) & mask
        k0 = (folded * np.uint64(0x9E3779B1) + np.uint64(key[1]) * np.uint64(0x85EBCA6B)) & mask
        k1 = np.uint64(key[2]) & mask
        c0, c1, c2, c3 = np.uint64(block) & mask, np.uint64(block) >> np.uint64(32), np.uint64(0), np.uint64(0)
        for _ in range(10):
            a, b = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
            c0, c1, c2, c3 = (b >> np.uint64(32)) ^ c1 ^ k0, b & mask, (a >> np.uint64(32)) ^ c3 ^ k1, a & mask
            k0, k1 = (k0 + np.uint64(0x9E3779B9)) & mask, (k1 + np.uint64(0xBB67AE85)) & mask
        for j in range(min(4, x.size - 4 * block)):
            word = c0 if j == 0 else c1 if j == 1 else c2 if j == 2 else c3
            i = 4 * block + j
            y[i] = factor * x[i] if word >= np.uint64(least) else x.dtype.type(0)


@kernel(ROW, ROW, "float32")
def _scale(x, y, factor):  # type: ignore[no-untyped-def]
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[i] = factor * x[i]


def _run(x: Array, rate: float, key: Any, train: bool, scale_at_train: bool, out: Array) -> None:
    number, row, to = x.dtype.type, x.reshape(-1), out.reshape(-1)
    if not train:
        over(x.size, _scale, row, to, number(1 if scale_at_train else 1 - rate))
        return
    if isinstance(key, tuple):
        key = array_module(x).asarray(np.array(key, np.uint64).view(np.int64))
    factor = number(1 / (1 - rate) if scale_at_train else 1)
    over(-(-x.size // 4), _drop, row, to, threshold(rate), factor, key.astype("i8", copy=False))


@dropout.kernel("gpu_numba")
def forward(x: Array, *, rate: float, key: Any, train: bool, scale_at_train: bool, out: Array) -> None:
    _run(x, rate, key, train, scale_at_train, out)


@dropout_backward.kernel("gpu_numba")
def backward(dy: Array, *, rate: float, key: Any, train: bool, scale_at_train: bool, out: Array) -> None:
    _run(dy, rate, key, train, scale_at_train, out)
