"""A row of softmax, compiled, for softmax and for its loss."""

from functools import partial
from math import ceil
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..chunks import small_in_tests
from ..compiled import FLAGS, LEAST_MOVED, jit
from ..exponential import exponential

small_in_tests(__name__, LEAST_MOVED=1)


def least_rows(classes: int) -> int:
    """So many are worth a thread: a number of theirs takes eight times as long as to move it."""
    return ceil(LEAST_MOVED / 8 / classes)


@partial(jit, flags=FLAGS - {"arcp"})  # with it a quotient would be rounded twice, by way of a reciprocal
def softmax_row(x, y):  # type: ignore[no-untyped-def]
    """y = exp(x − max) / Σ exp(x − max) of one row; returns the largest, and the sum."""
    top, total = _largest(x), x.dtype.type(0)
    for k in range(len(x)):
        y[k] = exponential(x[k] - top)
    for k in range(len(y)):  # by itself: beside a store, the order of a sum depends on how near x lies to y
        total += y[k]
    for k in range(len(y)):
        y[k] /= total
    return top, total


@jit
def _largest(x):  # type: ignore[no-untyped-def]
    """The greatest, by way of integers: NaN forbids to compare floats in another order, as vectors would."""
    most = _integer(x[0])
    for k in range(len(x)):
        most = max(most, _integer(x[k]))
    return _float(most)


@intrinsic
def _integer(_: Any, x: Any) -> Any:
    """Integers in the order of the floats: their bits, but of two negative ones the larger bits are the lesser."""
    kind = types.int32 if x == types.float32 else types.int64
    return kind(x), lambda _, builder, __, given: _turned(builder, builder.bitcast(*given, ir.IntType(kind.bitwidth)))


@intrinsic
def _float(_: Any, integer: Any) -> Any:
    """The float of an integer."""
    kind, made = (types.float32, ir.FloatType()) if integer == types.int32 else (types.float64, ir.DoubleType())
    return kind(integer), lambda _, builder, __, given: builder.bitcast(_turned(builder, *given), made)


def _turned(builder: Any, bits: Any) -> Any:
    """All bits but the sign inverted where that is set; twice is as before."""
    width = bits.type.width
    negative = builder.ashr(bits, ir.Constant(bits.type, width - 1))
    return builder.xor(bits, builder.and_(negative, ir.Constant(bits.type, (1 << width - 1) - 1)))
