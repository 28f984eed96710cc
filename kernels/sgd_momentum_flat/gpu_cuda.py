"""The update of all weights in CUDA C++: gpu_cuda.cu says how."""

from typing import Any

import numpy as np

from alexnet_np.backend import Array, array_module, device_of
from alexnet_np.ops import sgd_momentum_flat_

from ..cuda.source import BLOCK, Source, packs

SOURCE = Source(__file__, "gpu_cuda.cu", ["sgd_momentum_flat<{T}>", "sgd_momentum_mixed<{T}>"])


@sgd_momentum_flat_.kernel("gpu_cuda")
def update(
    weights: Array,
    velocity: Array,
    gradient: Array,
    factors: Array,
    loss: Array,
    *,
    lr: Any,
    momentum: float,
    weight_decay: float,
) -> None:
    launch("sgd_momentum_flat<{T}>", (weights, velocity, gradient, factors, loss), lr, momentum, weight_decay)


def launch(name: str, arrays: tuple[Array, ...], lr: Any, momentum: float, weight_decay: float) -> None:
    weights = arrays[0]
    number, xp = weights.dtype.type, array_module(weights)
    held = lr if device_of(lr) is not None else xp.full(1, lr, weights.dtype)
    grid, n = packs(weights.size, weights.dtype), np.int64(weights.size)
    held = held.reshape(1).astype(weights.dtype, copy=False)
    arrays = tuple(a if a.ndim else a.reshape(1) for a in arrays)
    SOURCE.launch(name, grid, (BLOCK,), *arrays, n, held, number(momentum), number(weight_decay))
