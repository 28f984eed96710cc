"""The ladder of compiled LRN, and which rung runs where none is asked for.

    cpu_numba/loops     a pass over a row for each step, with any power
    cpu_numba/rows      one pass in vectors along a row, with the power 3/4

Left to the loops are rows shorter than a line of the cache, windows of many channels, and any other power, which takes
longer than all the rest together.
"""

from typing import Any

from alexnet_np.operation import Spec
from alexnet_np.ops import lrn, lrn_backward

from . import cpu_numba_loops, cpu_numba_rows  # noqa: F401 (they register themselves)


@lrn.choose("cpu_numba")
@lrn_backward.choose("cpu_numba")
def _(*inputs: Spec, **keywords: Any) -> str:
    return "cpu_numba/loops" if cpu_numba_rows.refuses(*inputs, **keywords) else "cpu_numba/rows"
