"""Philox4x32-10 in compiled kernels: elements that are kept by their words, which never leave the registers.

Math     as alexnet_np/ops/philox.py says: word i mod 4 of block i div 4 belongs to element i
Shapes   one row; a lane is a block, whose words are in four vectors of 64 bits until they are dealt to the elements
Threads  none: a serial core, for a thread's contiguous part of the blocks
Traffic  x and y once, asked for a page before their turn: ten rounds take so long that few loads are under way at once
Change   against words in the first-level cache: a round is two multiplications, two shifts and two xors of three,
         because nothing clears the upper halves. Multiplication of 32-bit words does not see them, and what is xored
         into them stays there. Of blocks below 2³² half of the first two rounds is the same for all, and done once
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from alexnet_np.ops.philox import BUMP, MASK, ROUNDS, A, B

from .ahead import AHEAD, LINE
from .compiled import jit
from .lanes import WORD, chosen, spread
from .static import Static
from .vector import INT, REGISTER_BYTES, Vectors, integer

CHAINS = 2  # of rounds at a time: in one, each instruction would wait for the one before
LANES = REGISTER_BYTES // 8  # of a register, one of 64 bits for each of its blocks
BLOCKS = CHAINS * LANES  # in a group
# The block of each lane: of two neighbours one is of the first half of a register's blocks and one of the second, so
# that dealing their words to the elements moves none out of its 128 bits.
ORDER = [lane // LANES * LANES + lane % 2 * LANES // 2 + lane % LANES // 2 for lane in range(BLOCKS)]
GROUP = 4 * BLOCKS  # elements
VECTORS = {size: Static(size, REGISTER_BYTES // size) for size in (4, 8)}  # of elements, by their size in bytes


@jit
def keep(vector, x, first, key0, key1, least, factor, y):  # type: ignore[no-untyped-def]
    """y = factor · x where the word is at least `least`, else 0. first: the block of x[0]; vector: of VECTORS."""
    whole = len(x) // GROUP
    _keep(vector, x.ctypes.data, first, key0, key1, least, factor, y.ctypes.data, whole)
    left = len(x) - whole * GROUP
    if left:  # in a group of its own, which has room for what is not there
        end, made = np.zeros(GROUP, x.dtype), np.empty(GROUP, x.dtype)
        end[:left] = x[whole * GROUP :]
        _keep(vector, end.ctypes.data, first + whole * BLOCKS, key0, key1, least, factor, made.ctypes.data, 1)
        y[whole * GROUP :] = made[:left]


@intrinsic
def _keep(_: Any, vector: Any, x: Any, first: Any, key0: Any, key1: Any, least: Any, factor: Any, y: Any,
          groups: Any) -> Any:  # fmt: skip
    """So many groups."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        _, x, first, key0, key1, least, factor, y, groups = arguments
        v = Vectors(builder, *vector.value)
        factors = v.everywhere(factor)
        limit = spread(builder, builder.trunc(least, WORD), v.lanes)
        keys = [
            [
                spread(builder, builder.add(key, integer(r * bump)), BLOCKS)
                for key, bump in zip((key0, key1), BUMP, strict=True)
            ]
            for r in range(ROUNDS)
        ]
        last = builder.add(first, builder.mul(groups, integer(BLOCKS)))
        below = builder.icmp_unsigned("<=", last, integer(1 << 32))  # as those of any array that memory holds
        with builder.if_else(below, likely=True) as (usual, other):
            for branch, upper in (
                (usual, lambda blocks: _all(0)),
                (other, lambda blocks: builder.lshr(blocks, _all(32))),
            ):
                with branch, cgutils.for_range(builder, groups) as loop:
                    _group(v, loop.index, first, upper, keys, limit, factors, x, y)
        return context.get_dummy_value()

    return types.void(vector, *[types.int64] * 5, types.float64, *[types.int64] * 2), generate


def _group(v: Vectors, index: Any, first: Any, upper: Any, keys: Any, limit: Any, factors: Any, x: Any, y: Any) -> None:
    """Keep or drop the elements of group `index`. upper: from blocks to the upper halves of their numbers."""
    builder, zero = v.builder, v.constant(0)
    block = builder.add(first, builder.mul(index, integer(BLOCKS)))
    numbers = builder.add(spread(builder, block, BLOCKS), _each(ORDER))
    begin = builder.mul(index, integer(GROUP * v.itemsize))
    for line in range(AHEAD, AHEAD + GROUP * v.itemsize, LINE):
        v.prefetch(v.at(builder.add(x, begin), line))
        v.prefetch_to_write(v.at(builder.add(y, begin), line))
    pairs = _pairs(builder, _four_words(builder, numbers, upper(numbers), keys))
    for i in range(GROUP // v.lanes):
        places = range(i * v.lanes // 2, (i + 1) * v.lanes // 2)
        # Pair k of the group: words 0 and 1 of block k div 2, or its words 2 and 3.
        dealt = chosen(builder, *pairs, [ORDER.index(k // 2) + k % 2 * BLOCKS for k in places])
        kept = builder.icmp_unsigned(">=", builder.bitcast(dealt, ir.VectorType(WORD, v.lanes)), limit)
        offset = v.at(begin, i * v.bytes)
        scaled = builder.fmul(factors, v.load(builder.add(x, offset)))
        v.store(builder.select(kept, scaled, zero), builder.add(y, offset))


def _four_words(builder: Any, blocks: Any, upper: Any, keys: Any) -> list[Any]:
    """The four words of each block, in the lower halves; upper: those of the numbers."""
    half, low, a, b = (_all(n) for n in (32, MASK, A, B))
    c0, c1, c2, c3 = blocks, upper, _all(0), _all(0)
    for k0, k1 in keys:
        product = builder.mul(builder.and_(c0, low), a)
        other = builder.mul(builder.and_(c2, low), b)
        c0, c1 = builder.xor(builder.lshr(other, half), builder.xor(c1, k0)), other
        c2, c3 = builder.xor(builder.lshr(product, half), builder.xor(c3, k1)), product
    return [c0, c1, c2, c3]


def _pairs(builder: Any, words: list[Any]) -> list[Any]:
    """Words 0 and 1 of each block in one lane, the first in its lower half; and words 2 and 3."""
    return [
        builder.or_(builder.and_(low, _all(MASK)), builder.shl(high, _all(32))) for low, high in (words[:2], words[2:])
    ]


def _each(numbers: Sequence[int]) -> Any:
    """A constant vector of 64 bits a lane."""
    return ir.Constant(ir.VectorType(INT, BLOCKS), [integer(number) for number in numbers])


def _all(number: int) -> Any:
    return _each([number] * BLOCKS)
