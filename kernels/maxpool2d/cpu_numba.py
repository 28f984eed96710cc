"""The ladders of compiled max-pooling, and which rung runs where none is asked for.

    cpu_numba/planes    a plane dealt out by stride, then loops over runs
    cpu_numba/rows      vectors along the rows of the output

    cpu_numba/scatter   backward: each window adds to the element that won it
    cpu_numba/rows      backward: vectors along the rows of dx, of elements that take from their windows

The rungs of vectors have every element of a window in their code: a window of more than LARGEST is left to the loops,
and, in the backward, one that looks into padding. To take in vectors pays with sixteen lanes alone, where a row has as
many windows; the rest is scattered.
"""

from typing import Any

from alexnet_np.operation import Spec
from alexnet_np.ops import maxpool2d, maxpool2d_backward

from ..vector import REGISTER_BYTES
from . import cpu_numba_backward_rows as backward_rows
from . import cpu_numba_backward_scatter, cpu_numba_planes, cpu_numba_rows  # noqa: F401 (they register themselves)


@maxpool2d.choose("cpu_numba")
def _(x: Spec, **keywords: Any) -> str:
    return "cpu_numba/planes" if cpu_numba_rows.refuses(x, **keywords) else "cpu_numba/rows"


@maxpool2d_backward.choose("cpu_numba")
def _(dy: Spec, index: Spec, **keywords: Any) -> str:
    fills = dy.shape[3] * dy.dtype.itemsize >= REGISTER_BYTES == 64
    return "cpu_numba/rows" if fills and not backward_rows.refuses(dy, index, **keywords) else "cpu_numba/scatter"
