"""Local response normalisation of channels-last images in vectors of channels: serial cores for a part of the batch.

Math     s = k + a·Σ_window x²; y = x · s^(−3/4);
         dx = dy · s^(−3/4) − 2·a·β · x · Σ_window t with t = dy · x · s^(−7/4); zero where x ≤ 0 if x is of a ReLU
Shapes   all (pixels, C); a window stays in its group of C/G channels
Threads  none: for a thread's images
Traffic  each once: s is computed again in the backward, not kept. t of a few pixels stays in the first cache
Change   against channels first: a window's neighbours are loads at other offsets of the same line. Those beyond the
         group are masked, not multiplied by zero: they belong to other pixels and may be NaN
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from alexnet_np.backend import Array

from ..compiled import jit
from ..panel import item_bytes, vector_bytes
from ..static import StaticType
from ..vector import Vectors, integer
from .power import BETA, inverse_powers

STEP = 32  # pixels whose t is kept


def masks(channels: int, size: int, dtype: Any) -> Array:
    """(size, channels) of a group: all bits where channel + offset stays in the group, for offsets −size//2 … ."""
    at = np.arange(channels) + np.arange(-(size // 2), size // 2 + 1)[:, None]
    return -((at >= 0) & (at < channels)).astype(f"i{np.dtype(dtype).itemsize}")


@jit
def forward(window, vector, x, y, pixels, channels, groups, mask, k, a):  # type: ignore[no-untyped-def]
    """y of so many pixels. window: Static(size, relu); mask: address of `masks`; the others as their names say."""
    vectors = channels * item_bytes(vector) // vector_bytes(vector)
    bytes_ = channels * item_bytes(vector)
    for i in range(pixels * groups):
        _normalise(window, vector, x + i * bytes_, y + i * bytes_, vectors, mask, bytes_, k, a)


@jit
def backward(window, vector, dy, x, t, dx, pixels, channels, groups, mask, k, a):  # type: ignore[no-untyped-def]
    """dx of so many pixels. t: room for STEP pixels of all groups, with a line before and behind."""
    vectors = channels * item_bytes(vector) // vector_bytes(vector)
    bytes_ = channels * item_bytes(vector)
    for first in range(0, pixels * groups, STEP * groups):
        count = min(STEP * groups, pixels * groups - first)
        for j in range(count):
            i = (first + j) * bytes_
            _terms(window, vector, dy + i, x + i, t + j * bytes_, dx + i, vectors, mask, bytes_, k, a)
        for j in range(count):
            i = (first + j) * bytes_
            _gather(window, vector, t + j * bytes_, x + i, dx + i, vectors, mask, bytes_, a)


def _window_sum(v: Vectors, base: Any, offset: Any, mask: Any, bytes_: Any, size: int, square: bool) -> Any:
    """Σ over the window of what lies at base + offset, or of its square, without other groups' channels."""
    builder, half = v.builder, size // 2
    ints = ir.VectorType(ir.IntType(8 * v.itemsize), v.lanes)
    total = None
    for d in range(size):
        value = v.load(v.at(builder.add(base, offset), (d - half) * v.itemsize))
        value = builder.fmul(value, value) if square else value
        if d != half:
            row = builder.add(mask, builder.add(builder.mul(bytes_, integer(d)), offset))
            bits = builder.load(builder.inttoptr(row, ints.as_pointer()), align=v.itemsize)
            value = builder.bitcast(builder.and_(builder.bitcast(value, ints), bits), v.type)
        total = value if total is None else builder.fadd(total, value)
    return total


def _powers(v: Vectors, x: Any, offset: Any, mask: Any, bytes_: Any, size: int, k: Any, a: Any) -> tuple[Any, Any]:
    """s^(−3/4), and s^(−1/2)."""
    s = v.fma(v.everywhere(a), _window_sum(v, x, offset, mask, bytes_, size, True), v.everywhere(k))
    return inverse_powers(v, s)


@intrinsic
def _normalise(
    _: Any, window: Any, vector: Any, x: Any, y: Any, vectors: Any, mask: Any, bytes_: Any, k: Any, a: Any
) -> Any:
    if not isinstance(window, StaticType) or not isinstance(vector, StaticType):
        return None
    size, _ = window.value

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        _, _, x, y, vectors, mask, bytes_, k, a = arguments
        v = Vectors(builder, *vector.value)
        with cgutils.for_range(builder, vectors) as loop:
            offset = builder.mul(loop.index, integer(v.bytes))
            power, _ = _powers(v, x, offset, mask, bytes_, size, k, a)
            v.store(builder.fmul(v.load(builder.add(x, offset)), power), builder.add(y, offset))
        return ir.Constant(ir.IntType(8).as_pointer(), None)

    return types.void(window, vector, *[types.int64] * 5, types.float64, types.float64), generate


@intrinsic
def _terms(
    _: Any,
    window: Any,
    vector: Any,
    dy: Any,
    x: Any,
    t: Any,
    dx: Any,
    vectors: Any,
    mask: Any,
    bytes_: Any,
    k: Any,
    a: Any,
) -> Any:
    """t, and dx = dy · s^(−3/4) to begin with."""
    if not isinstance(window, StaticType) or not isinstance(vector, StaticType):
        return None
    size, _ = window.value

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        _, _, dy, x, t, dx, vectors, mask, bytes_, k, a = arguments
        v = Vectors(builder, *vector.value)
        with cgutils.for_range(builder, vectors) as loop:
            offset = builder.mul(loop.index, integer(v.bytes))
            power, half = _powers(v, x, offset, mask, bytes_, size, k, a)
            direct = builder.fmul(v.load(builder.add(dy, offset)), power)
            # s^(−7/4) from what there is: a division takes longer than all the rest but the root.
            term = builder.fmul(builder.fmul(direct, v.load(builder.add(x, offset))), builder.fmul(half, half))
            v.store(direct, builder.add(dx, offset))
            v.store(term, builder.add(t, offset))
        return ir.Constant(ir.IntType(8).as_pointer(), None)

    return types.void(window, vector, *[types.int64] * 7, types.float64, types.float64), generate


@intrinsic
def _gather(
    _: Any, window: Any, vector: Any, t: Any, x: Any, dx: Any, vectors: Any, mask: Any, bytes_: Any, a: Any
) -> Any:
    """dx −= 2·a·β · x · Σ_window t."""
    if not isinstance(window, StaticType) or not isinstance(vector, StaticType):
        return None
    size, relu = window.value

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        _, _, t, x, dx, vectors, mask, bytes_, a = arguments
        v = Vectors(builder, *vector.value)
        factor = builder.fmul(v.everywhere(a), v.constant(-2 * BETA))
        with cgutils.for_range(builder, vectors) as loop:
            offset = builder.mul(loop.index, integer(v.bytes))
            own, target = v.load(builder.add(x, offset)), builder.add(dx, offset)
            total = _window_sum(v, t, offset, mask, bytes_, size, False)
            result = v.fma(builder.fmul(factor, own), total, v.load(target))
            v.store(v.relu_backward(result, own) if relu else result, target)
        return ir.Constant(ir.IntType(8).as_pointer(), None)

    return types.void(window, vector, *[types.int64] * 6, types.float64), generate
