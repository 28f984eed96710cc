"""relu in Numba CUDA, element by element.

Math     y = 0 where x ≤ 0, else x, so that NaN stays;  dx = dy where y > 0, else 0
Shapes   any, seen as one row
Threads  as many as `over` makes, which take turns; neighbours are neighbours in memory
Traffic  the least: x and y once; dy, y and dx once
Change   against the definition: all elements at once
"""

from alexnet_np.backend import Array
from alexnet_np.ops import relu, relu_backward

from ..numba_cuda import cuda, kernel, over


@kernel("float32[::1]", "float32[::1]")
def _forward(x, y):  # type: ignore[no-untyped-def]
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        zero = x.dtype.type(0)
        y[i] = zero if x[i] <= zero else x[i]


@kernel("float32[::1]", "float32[::1]", "float32[::1]")
def _backward(dy, y, dx):  # type: ignore[no-untyped-def]
    for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        zero = y.dtype.type(0)
        dx[i] = dy[i] if y[i] > zero else zero


@relu.kernel("gpu_numba")
def forward(x: Array, *, out: Array) -> None:
    over(x.size, _forward, x.reshape(-1), out.reshape(-1))


@relu_backward.kernel("gpu_numba")
def backward(dy: Array, y: Array, *, out: Array) -> None:
    over(y.size, _backward, dy.reshape(-1), y.reshape(-1), out.reshape(-1))
