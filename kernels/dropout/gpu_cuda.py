"""dropout in CUDA C++: gpu_cuda.cu says how; forward and backward are one function."""

from typing import Any

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import dropout, dropout_backward
from alexnet_np.ops.dropout import threshold
from alexnet_np.ops.philox import stream_key
from alexnet_np.precision import ALL

from ..cuda.source import BLOCK, Source, number, packs

SOURCE = Source(__file__, "gpu_cuda.cu", ["dropout<{T}>", "dropout_from<{T}>", "scale<{T}>"], ALL)


def _drop(x: Array, rate: float, key: Any, train: bool, scale_at_train: bool, out: Array) -> None:
    grid, real = packs(x.size, x.dtype), number(x.dtype)
    row = x, out, np.int64(x.size)
    if not train:
        SOURCE.launch("scale<{T}>", grid, (BLOCK,), *row, real(1 if scale_at_train else 1 - rate))
        return
    kept = np.uint32(threshold(rate)), real(1 / (1 - rate) if scale_at_train else 1)
    if isinstance(key, tuple):
        mixed, iteration = map(np.uint32, stream_key(*key))
        SOURCE.launch("dropout<{T}>", grid, (BLOCK,), *row, *kept, mixed, iteration)
    else:
        SOURCE.launch("dropout_from<{T}>", grid, (BLOCK,), *row, *kept, key.astype(np.int64, copy=False))


@dropout.kernel("gpu_cuda", types=ALL)
def forward(x: Array, *, rate: float, key: Any, train: bool, scale_at_train: bool, out: Array) -> None:
    _drop(x, rate, key, train, scale_at_train, out)


@dropout_backward.kernel("gpu_cuda", types=ALL)
def backward(dy: Array, *, rate: float, key: Any, train: bool, scale_at_train: bool, out: Array) -> None:
    _drop(dy, rate, key, train, scale_at_train, out)
