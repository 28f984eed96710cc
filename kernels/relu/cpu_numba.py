"""relu in one pass.

Math     y = 0 where x ≤ 0, else x, so that NaN stays;  dx = dy where y > 0, else 0
Shapes   any, seen as one row
Threads  each has a contiguous part of the row
Traffic  the least: x and y once; dy, y and dx once
Change   against cpu_numpy: threads, and no mask in memory between two passes
"""

from alexnet_np.backend import Array
from alexnet_np.ops import relu, relu_backward
from alexnet_np.parallel import share

from ..compiled import LEAST_MOVED, jit


@relu.kernel("cpu_numba")
def forward(x: Array, *, out: Array) -> None:
    x, y = x.reshape(-1), out.reshape(-1)
    share(x.size, lambda lo, hi: _forward(x[lo:hi], y[lo:hi]), least=LEAST_MOVED)


@jit
def _forward(x, y):  # type: ignore[no-untyped-def]
    zero = x.dtype.type(0)
    for i in range(len(x)):
        y[i] = zero if x[i] <= zero else x[i]


@relu_backward.kernel("cpu_numba")
def backward(dy: Array, y: Array, *, out: Array) -> None:
    dy, y, dx = dy.reshape(-1), y.reshape(-1), out.reshape(-1)
    share(y.size, lambda lo, hi: _backward(dy[lo:hi], y[lo:hi], dx[lo:hi]), least=LEAST_MOVED)


@jit
def _backward(dy, y, dx):  # type: ignore[no-untyped-def]
    zero = y.dtype.type(0)
    for i in range(len(y)):
        dx[i] = dy[i] if y[i] > zero else zero
