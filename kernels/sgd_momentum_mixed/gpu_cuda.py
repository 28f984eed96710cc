"""The update of all weights with a copy in bfloat16, in CUDA C++: sgd_momentum_flat/gpu_cuda.cu says how."""

from typing import Any

from alexnet_np.backend import Array
from alexnet_np.ops import sgd_momentum_mixed_

from ..sgd_momentum_flat.gpu_cuda import launch


@sgd_momentum_mixed_.kernel("gpu_cuda")
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
    out: Array,
) -> None:
    launch("sgd_momentum_mixed<{T}>", (weights, velocity, gradient, factors, loss, out), lr, momentum, weight_decay)
