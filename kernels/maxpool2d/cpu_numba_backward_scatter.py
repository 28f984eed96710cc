"""maxpool2d_backward a plane at a time, or some small ones, in the first-level cache.

Math     dx[h, w] = Σ dy where the index is h·W + w, in the order of dy
Shapes   dx (N·C, H·W), dy and index (N·C, P·Q)
Threads  each has a contiguous part of the planes
Traffic  dy and index once; dx once, and once more from memory before it is written
Change   against cpu_numpy: one addition for each window, where the index points, in a plane that stays in the cache
"""

from math import ceil

from alexnet_np.backend import Array
from alexnet_np.ops import maxpool2d_backward
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.parallel import share

from ..chunks import small_in_tests
from ..compiled import LEAST_MOVED, jit, unsigned

ZEROED = 4096  # bytes at a time, of small planes: one after the other would wait for the memory
small_in_tests(__name__, LEAST_MOVED=1, ZEROED=1)


@maxpool2d_backward.kernel("cpu_numba/scatter")
def backward(
    dy: Array, index: Array, *, x_shape: tuple[int, ...], size: Pair, stride: Pair, padding: Sides, out: Array
) -> None:
    planes = x_shape[0] * x_shape[1]
    dy, index, dx = (array.reshape(planes, -1) for array in (dy, index, out))
    some, least = max(1, ZEROED // dx[0].nbytes), ceil(LEAST_MOVED / dx[0].size)
    share(planes, lambda lo, hi: _backward(some, dy[lo:hi], index[lo:hi], dx[lo:hi]), least=least)


@jit
def _backward(some, dy, index, dx):  # type: ignore[no-untyped-def]
    for first in range(0, len(dy), some):
        last = min(first + some, len(dy))
        dx[first:last] = 0
        for n in range(first, last):
            scatter(n, dy, index, dx)


@jit
def scatter(n, dy, index, dx):  # type: ignore[no-untyped-def]
    """Add plane n's. Of arrays of its own the references would be counted, by all threads in one place."""
    plane = unsigned(n)
    for i in range(dy.shape[1]):
        dx[plane, unsigned(index[plane, i])] += dy[plane, i]
