"""Philox4x32-10 in compiled kernels: elements that are kept by their words, which never leave the registers.

Math     as alexnet_np/ops/philox.py says: word i mod 4 of block i div 4 belongs to element i
Shapes   one row; a lane of 32 bits is a block, whose words are in four vectors until they are dealt to the elements
Threads  none: a serial core, for a thread's contiguous part of the blocks
Traffic  x and y once, asked for before their turn: ten rounds take so long that few loads are under way at once
Change   against a block in 64 bits, where a product stays as it is: the xors, and a shuffle for the upper halves, do
         twice as many. It leaves them in another order of blocks, and the next round's brings them back; the lower
         halves, which meet those of the next round, are multiplied once more in the order of their words. Of blocks
         below 2³² half of the first two rounds is the same for all, and done once
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from alexnet_np.ops.philox import BUMP, MASK, ROUNDS, A, B

from .ahead import LINE
from .compiled import jit
from .lanes import WORD, chosen, spread
from .vector import INT, REGISTER_BYTES, Vectors, integer

AHEAD = 2048  # bytes, which take longer than the memory's answer and leave room in the first cache
CHAINS = 3  # of rounds at a time: in one, each instruction would wait for the one before
LANES = REGISTER_BYTES // 4  # of a register, one for each of its blocks
BLOCKS = CHAINS * LANES  # in a group
GROUP = 4 * BLOCKS  # elements
# The block of each lane: those of the same 128 bits are so far apart that dealing their words to the elements, four
# lanes by four words, moves none out of its 128 bits.
ORDER = [lane // 4 + lane % 4 * (LANES // 4) for lane in range(LANES)]
TURNED = 0, 2, 1, 3  # the order of each four lanes after a round, and before the next
SIGN = 1 << 31  # inverted in words and bound: compared as signed numbers, in one instruction where unsigned take two
WORDS, WIDE = ir.VectorType(WORD, LANES), ir.VectorType(INT, LANES // 2)  # a register, as words and as products


@jit
def keep(x, first, key0, key1, least, factor, y):  # type: ignore[no-untyped-def]
    """y = factor · x where the word is at least `least`, else 0. first: the block of x[0]."""
    whole = len(x) // GROUP
    _keep(x, first, key0, key1, least, factor, y, whole)
    left = len(x) - whole * GROUP
    if left:  # in a group of its own, which has room for what is not there
        end, made = np.zeros(GROUP, x.dtype), np.empty(GROUP, x.dtype)
        end[:left] = x[whole * GROUP :]
        _keep(end, first + whole * BLOCKS, key0, key1, least, factor, made, 1)
        y[whole * GROUP :] = made[:left]


@intrinsic
def _keep(_: Any, x: Any, first: Any, key0: Any, key1: Any, least: Any, factor: Any, y: Any, groups: Any) -> Any:
    """So many groups."""
    kinds, size = (x, y), x.dtype.bitwidth // 8

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        x, first, key0, key1, least, factor, y, groups = arguments
        arrays = [make_array(kind)(context, builder, array) for kind, array in zip(kinds, (x, y), strict=True)]
        x, y = (builder.ptrtoint(array.data, INT) for array in arrays)
        v = Vectors(builder, size, REGISTER_BYTES // size)
        factors = v.everywhere(factor)
        limit = spread(builder, builder.trunc(builder.xor(least, integer(SIGN)), WORD), v.lanes)
        keys = [
            [_key(builder, key, r, bump) for key, bump in zip((key0, key1), BUMP, strict=True)] for r in range(ROUNDS)
        ]
        last = builder.add(first, builder.mul(groups, integer(BLOCKS)))
        below = builder.icmp_unsigned("<=", last, integer(1 << 32))  # as those of any array that memory holds
        with builder.if_else(below, likely=True) as (usual, other):
            for branch, counters in ((usual, _below), (other, _any)):
                with branch, cgutils.for_range(builder, groups) as loop:
                    block = builder.add(first, builder.mul(loop.index, integer(BLOCKS)))
                    chains = _rounds(builder, [counters(builder, block, c) for c in range(CHAINS)], keys)
                    _group(v, loop.index, chains, limit, factors, x, y)
        return context.get_dummy_value()

    return types.void(x, *[types.int64] * 4, types.float64, y, types.int64), generate


def _key(builder: Any, key: Any, r: int, bump: int) -> Any:
    """A word of round r's key for every block, the last round's with its sign inverted."""
    word = builder.trunc(builder.add(key, integer(r * bump)), WORD)
    return spread(builder, builder.xor(word, ir.Constant(WORD, SIGN * (r == ROUNDS - 1))), LANES)


def _below(builder: Any, block: Any, chain: int) -> tuple[Any, Any]:
    """The two words of the numbers of a chain's blocks, all below 2³². block: the group's first."""
    first = spread(builder, builder.trunc(block, WORD), LANES)
    return builder.add(first, ir.Constant(WORDS, [chain * LANES + i for i in ORDER])), _all(0)


def _any(builder: Any, block: Any, chain: int) -> tuple[Any, Any]:
    """The same of blocks that may lie beyond. The upper words meet what the first round made, so in its order."""
    kind = ir.VectorType(INT, LANES)
    numbers = builder.add(spread(builder, block, LANES), ir.Constant(kind, [chain * LANES + i for i in ORDER]))
    upper = builder.trunc(builder.lshr(numbers, ir.Constant(kind, [32] * LANES)), WORDS)
    return builder.trunc(numbers, WORDS), _fours(builder, upper, upper, TURNED)


def _group(v: Vectors, index: Any, chains: Any, limit: Any, factors: Any, x: Any, y: Any) -> None:
    """Keep or drop the elements of group `index` by the words of its blocks."""
    builder, zero = v.builder, v.constant(0)
    begin = builder.mul(index, integer(GROUP * v.itemsize))
    for line in range(AHEAD, AHEAD + GROUP * v.itemsize, LINE):
        v.prefetch(v.at(builder.add(x, begin), line), nearness=3)
        v.prefetch_to_write(v.at(builder.add(y, begin), line))
    dealt = [words for chain in chains for words in _dealt(builder, chain)]
    for i in range(GROUP // v.lanes):
        register, lane = divmod(i * v.lanes, LANES)
        words = chosen(builder, dealt[register], dealt[register], range(lane, lane + v.lanes))
        kept = builder.icmp_signed(">=", words, limit)
        offset = v.at(begin, i * v.bytes)
        scaled = builder.fmul(factors, v.load(builder.add(x, offset)))
        v.store(builder.select(kept, scaled, zero), builder.add(y, offset))


def _rounds(builder: Any, counters: Sequence[tuple[Any, Any]], keys: Any) -> list[list[Any]]:
    """The four words of each chain's blocks, with their signs inverted. counters: the words of the blocks' numbers."""
    chains = [[*counter, _all(0), _all(0)] for counter in counters]
    for r, (k0, k1) in enumerate(keys):
        for chain in chains:
            c0, c1, c2, c3 = chain
            upper, lower = _product(builder, c0, A, r == ROUNDS - 1)
            other, below = _product(builder, c2, B, r == ROUNDS - 1)
            chain[:] = (
                builder.xor(other, builder.xor(c1, k0)),
                below,
                builder.xor(upper, builder.xor(c3, k1)),
                lower,
            )
    return chains


def _product(builder: Any, words: Any, factor: int, last: bool) -> tuple[Any, Any]:
    """words · factor: the upper halves in the order TURNED, and the lower in that of the words.

    Of the last round the lower too are turned, which brings them back, and their signs inverted.
    """
    wide = builder.bitcast(words, WIDE)
    numbers, low, half = (ir.Constant(WIDE, [n] * WIDE.count) for n in (factor, MASK, 32))
    even = builder.bitcast(builder.mul(builder.and_(wide, low), numbers), WORDS)
    odd = builder.bitcast(builder.mul(builder.lshr(wide, half), numbers), WORDS)
    if last:
        lower = builder.xor(_fours(builder, even, odd, (0, 2, 4, 6)), _all(SIGN))
    else:
        lower = builder.mul(words, _all(factor))
    return _fours(builder, even, odd, (1, 3, 5, 7)), lower


def _dealt(builder: Any, words: Sequence[Any]) -> list[Any]:
    """Words 0 … 3 of each block as the stream has them: four vectors."""
    first, last = (0, 4, 1, 5), (2, 6, 3, 7)
    halves = [[_fours(builder, a, b, places) for a, b in (words[:2], words[2:])] for places in (first, last)]
    return [_fours(builder, a, b, places) for a, b in halves for places in ((0, 1, 4, 5), (2, 3, 6, 7))]


def _fours(builder: Any, a: Any, b: Any, places: Sequence[int]) -> Any:
    """Of each 128 bits the lanes at these places, 0 … 3 in a and 4 … 7 in b: what shuffles do without crossing."""
    lanes = [four + place % 4 + place // 4 * LANES for four in range(0, LANES, 4) for place in places]
    return chosen(builder, a, b, lanes)


def _all(number: int) -> Any:
    return ir.Constant(WORDS, [number] * LANES)
