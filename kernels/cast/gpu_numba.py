"""cast in Numba CUDA, element by element.

Math     y = x, rounded to the nearest
Shapes   any, seen as one row
Threads  as many as `over` makes, which take turns; neighbours are neighbours in memory
Traffic  x once and y once
Change   against the definition: all elements at once
"""

from alexnet_np.backend import Array
from alexnet_np.ops import cast
from alexnet_np.precision import FLOATS

from ..numba_cuda import cuda, kernel, over


@kernel("float32[::1]", "float32[::1]")
def _forward(x, y):  # type: ignore[no-untyped-def]
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[i] = x[i]


def _refuses(*_: object, dtype: str) -> str | None:
    return None if dtype in FLOATS else f"Numba knows no {dtype}"


@cast.kernel("gpu_numba", refuses=_refuses)
def forward(x: Array, *, dtype: str, out: Array) -> None:
    over(x.size, _forward, x.reshape(-1), out.reshape(-1))
