"""The update in Numba CUDA: weight by weight.

Math     v ← μ·v − λ·ε·w − ε·g;  w ← w + v
Shapes   any, seen as one row
Threads  as many as `over` makes, which take turns; neighbours are neighbours in memory
Traffic  the least: w, v and g read, w and v written
Change   against a pass for each term: five arrays moved in place of nine
"""

from typing import Any

from alexnet_np.backend import Array, array_module
from alexnet_np.ops import sgd_momentum_

from ..numba_cuda import cuda, kernel, over


@kernel("float32[::1]", "float32[::1]", "float32[::1]", "float32[::1]", "float32", "float32")
def _step(w, v, g, lr, momentum, decay):  # type: ignore[no-untyped-def]
    for i in range(cuda.grid(1), w.size, cuda.gridsize(1)):
        speed = momentum * v[i] - lr[0] * (decay * w[i] + g[i])
        v[i] = speed
        w[i] += speed


@sgd_momentum_.kernel("gpu_numba")
def update(weights: Array, velocity: Array, gradient: Array, *, lr: Any, momentum: float, weight_decay: float) -> None:
    number = weights.dtype.type
    if getattr(lr, "ndim", 0) == 0:
        lr = array_module(weights).full(1, float(lr), weights.dtype)
    lr = lr.reshape(1).astype(weights.dtype, copy=False)
    rows = weights.reshape(-1), velocity.reshape(-1), gradient.reshape(-1)
    over(weights.size, _step, *rows, lr, number(momentum), number(weight_decay))
