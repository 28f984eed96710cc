"""The ladder of compiled max-pooling, and which rung runs where none is asked for.

    cpu_numba/planes   a plane dealt out by stride, then loops over runs; the backward adds where the index points
    cpu_numba/rows     vectors along a row of the output; the backward gathers

The rung of vectors has all elements of a window in its code, so the loops remain for windows of more than LARGEST; and
its backward interleaves no more than two columns, so they remain for wider strides there.
"""

from typing import Any

from alexnet_np.operation import Spec
from alexnet_np.ops import maxpool2d, maxpool2d_backward
from alexnet_np.ops.windows import Pair

from . import cpu_numba_gather, cpu_numba_planes, cpu_numba_rows  # noqa: F401 (they register themselves)


@maxpool2d.choose("cpu_numba")
def _(x: Spec, *, size: Pair, stride: Pair, padding: Any) -> str:
    return (
        "cpu_numba/planes" if cpu_numba_rows.refuses(x, size=size, stride=stride, padding=padding) else "cpu_numba/rows"
    )


@maxpool2d_backward.choose("cpu_numba")
def _(dy: Spec, index: Spec, **keywords: Any) -> str:
    return "cpu_numba/planes" if cpu_numba_gather.refuses(dy, index, **keywords) else "cpu_numba/rows"
