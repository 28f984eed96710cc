"""The update in CUDA C++: gpu_cuda.cu says how."""

from typing import Any

import numpy as np

from alexnet_np.backend import Array, device_of
from alexnet_np.ops import sgd_momentum_

from ..cuda.source import BLOCK, TYPES, Source, blocks

SOURCE = Source(
    __file__, "gpu_cuda.cu", ["sgd_momentum<{T}>", "sgd_momentum_from<{T}, float>", "sgd_momentum_from<{T}, double>"]
)
EACH = 4  # elements of a thread


@sgd_momentum_.kernel("gpu_cuda")
def update(
    weights: Array, velocity: Array, gradient: Array, *, lr: Any, momentum: float, weight_decay: float
) -> None:
    number = weights.dtype.type
    row = weights, velocity, gradient, np.int64(weights.size)
    grid, rest = blocks(-(-weights.size // EACH)), (number(momentum), number(weight_decay))
    if isinstance(lr, np.generic) or device_of(lr) is None:
        SOURCE.launch("sgd_momentum<{T}>", grid, (BLOCK,), *row, number(lr), *rest)
    else:
        name = f"sgd_momentum_from<{{T}}, {TYPES[lr.dtype]}>"
        SOURCE.launch(name, grid, (BLOCK,), *row, lr.reshape(1), *rest)
