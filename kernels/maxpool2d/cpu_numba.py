"""The ladder of compiled max-pooling, and which rung runs where none is asked for.

    cpu_numba/planes   a plane dealt out by stride, then loops over runs
    cpu_numba/rows     vectors along the rows of the output

The rung of vectors has every element of a window in its code: a window of more than LARGEST is left to the loops. One
backward serves both.
"""

from alexnet_np.operation import Spec
from alexnet_np.ops import maxpool2d
from alexnet_np.ops.windows import Pair, Sides

from . import cpu_numba_backward, cpu_numba_planes  # noqa: F401 (they register themselves)
from .cpu_numba_rows import refuses


@maxpool2d.choose("cpu_numba")
def _(x: Spec, *, size: Pair, stride: Pair, padding: Sides) -> str:
    return "cpu_numba/planes" if refuses(x, size=size, stride=stride, padding=padding) else "cpu_numba/rows"
