"""relu in one pass.

Math     y = 0 where x ≤ 0, else x, so that NaN stays;  dx = dy where y > 0, else 0
Shapes   any, seen as one row
Threads  each takes contiguous parts of the row
Traffic  the least: x and y once; dy, y and dx once
Change   against cpu_numpy: threads, and no mask in memory between two passes
"""

from alexnet_np.backend import Array
from alexnet_np.ops import relu, relu_backward

from ..chunks import small_in_tests
from ..compiled import LEAST_MOVED, jit
from ..team import parallel_for, team

small_in_tests(__name__, LEAST_MOVED=1)


@relu.kernel("cpu_numba")
def forward(x: Array, *, out: Array) -> None:
    _forward(team(x.size, LEAST_MOVED), x.reshape(-1), out.reshape(-1))


@jit
def _forward(members, x, y):  # type: ignore[no-untyped-def]
    parallel_for(members, len(x), _forward_part, (x, y))


@jit
def _forward_part(lo, hi, x, y):  # type: ignore[no-untyped-def]
    x, y, zero = x[lo:hi], y[lo:hi], x.dtype.type(0)
    for i in range(len(x)):
        y[i] = zero if x[i] <= zero else x[i]


@relu_backward.kernel("cpu_numba")
def backward(dy: Array, y: Array, *, out: Array) -> None:
    _backward(team(y.size, LEAST_MOVED), dy.reshape(-1), y.reshape(-1), out.reshape(-1))


@jit
def _backward(members, dy, y, dx):  # type: ignore[no-untyped-def]
    parallel_for(members, len(y), _backward_part, (dy, y, dx))


@jit
def _backward_part(lo, hi, dy, y, dx):  # type: ignore[no-untyped-def]
    dy, y, dx, zero = dy[lo:hi], y[lo:hi], dx[lo:hi], y.dtype.type(0)
    for i in range(len(y)):
        dx[i] = dy[i] if y[i] > zero else zero
