"""sgd_momentum_ in one pass.

Math     v ← μ·v − ε·(λ·w + g);  w ← w + v
Shapes   any, seen as one row
Threads  each takes contiguous parts of the row
Traffic  the least: w, v and g read, w and v written, each once
Change   against cpu_numpy: one pass in place of six over a block in the cache, and threads
"""

from collections.abc import Callable
from typing import Any

from alexnet_np.backend import Array
from alexnet_np.ops import sgd_momentum_

from ..chunks import small_in_tests
from ..compiled import LEAST_MOVED, jit
from ..team import parallel_for, team

LEAST = LEAST_MOVED // 4
small_in_tests(__name__, LEAST=1)


def update_of(
    weights: Array, velocity: Array, gradient: Array, *, momentum: float, weight_decay: float
) -> Callable[..., None]:
    w, v, g = weights.reshape(-1), velocity.reshape(-1), gradient.reshape(-1)
    n, momentum, weight_decay = w.size, float(momentum), float(weight_decay)

    def step(lr: Any) -> None:
        rate = lr if type(lr) is float else float(lr.item() if hasattr(lr, "item") else lr)
        _update(team(n, LEAST), w, v, g, rate, momentum, weight_decay)

    return step


@sgd_momentum_.kernel("cpu_numba", on=update_of)
def update(weights: Array, velocity: Array, gradient: Array, *, lr: Any, momentum: float, weight_decay: float) -> None:
    update_of(weights, velocity, gradient, momentum=momentum, weight_decay=weight_decay)(lr)


@jit
def _update(members, w, v, g, lr, momentum, weight_decay):  # type: ignore[no-untyped-def]
    parallel_for(members, len(w), _part, (w, v, g, lr, momentum, weight_decay))


@jit
def _part(lo, hi, w, v, g, lr, momentum, weight_decay):  # type: ignore[no-untyped-def]
    w, v, g, number = w[lo:hi], v[lo:hi], g[lo:hi], w.dtype.type
    lr, momentum, weight_decay = number(lr), number(momentum), number(weight_decay)
    for i in range(len(w)):
        v[i] = momentum * v[i] - lr * (weight_decay * w[i] + g[i])
        w[i] += v[i]
