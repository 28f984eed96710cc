"""The update in CUDA C++: gpu_cuda.cu says how."""

from typing import Any

import numpy as np

from alexnet_np.backend import Array, device_of
from alexnet_np.ops import sgd_momentum_

from ..cuda.source import BLOCK, Source, packs

SOURCE = Source(__file__, "gpu_cuda.cu", ["sgd_momentum<{T}>", "sgd_momentum_from<{T}>"])


@sgd_momentum_.kernel("gpu_cuda")
def update(weights: Array, velocity: Array, gradient: Array, *, lr: Any, momentum: float, weight_decay: float) -> None:
    number = weights.dtype.type
    row = weights, velocity, gradient, np.int64(weights.size)
    grid, rest = packs(weights.size, weights.dtype), (number(momentum), number(weight_decay))
    if isinstance(lr, np.generic) or device_of(lr) is None:
        SOURCE.launch("sgd_momentum<{T}>", grid, (BLOCK,), *row, number(lr), *rest)
    else:
        held = lr.reshape(1).astype(weights.dtype, copy=False)
        SOURCE.launch("sgd_momentum_from<{T}>", grid, (BLOCK,), *row, held, *rest)
