"""sgd_momentum_ over blocks that stay in the cache, so that no temporary is as large as the weights."""

from typing import Any

from alexnet_np.backend import Array
from alexnet_np.ops import sgd_momentum_

from ..chunks import small_in_tests

STEP = 1 << 16  # elements
small_in_tests(__name__, STEP=8)


@sgd_momentum_.kernel("cpu_numpy")
def update(weights: Array, velocity: Array, gradient: Array, *, lr: Any, momentum: float, weight_decay: float) -> None:
    lr = lr.reshape(1) if hasattr(lr, "reshape") else weights.dtype.type(lr)
    weights, velocity, gradient = weights.reshape(-1), velocity.reshape(-1), gradient.reshape(-1)
    for start in range(0, weights.size, STEP):
        part = slice(start, start + STEP)
        w, v, g = weights[part], velocity[part], gradient[part]
        v *= momentum
        v -= (w * weight_decay + g) * lr
        w += v
