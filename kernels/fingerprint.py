"""Fingerprints of an array: 64 bits for each of PIECES pieces of it, which tell whether it is still what it was.

Math     h ← mix(h ⊕ word), mix(a) = b ⊕ (b >> 32), b = a · ODD mod 2⁶⁴: LANES words of 8 bytes side by side, each with
         an h of its own; then these in a row, and what is left. A mix can be undone, and so can ⊕: a piece of which one
         word was changed always has another h. Of several changes it has the same about once in 2⁶⁴
Shapes   flat arrays of unsigned integers of 4 or 8 bytes
Threads  none: a thread has some of the pieces
Traffic  the array once; a comparison with a copy reads that too
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiled import jit
from .together import share_of
from .vector import INT, each, integer

PIECES = 64
LANES = 16  # as many chains as hide how long a multiplication takes
ODD = 0x9E3779B97F4A7C15  # 2⁶⁴ / the golden ratio: each bit of a word moves half of those above it
START = 0x243F6A8885A308D3  # of π; with 0, words of 0 would leave no trace
_ODD, _HALF = np.uint64(ODD), np.uint64(32)


@jit
def take(a, first, last, prints):  # type: ignore[no-untyped-def]
    """The fingerprints first … last of `a`, into the array of all of them."""
    for i in range(first, last):
        begin, end = share_of(a.size, i, prints.size)
        prints[i] = fingerprint(a[begin:end])


@jit
def same(a, first, last, prints):  # type: ignore[no-untyped-def]
    """Whether `a` still has the fingerprints first … last."""
    for i in range(first, last):
        begin, end = share_of(a.size, i, prints.size)
        if prints[i] != fingerprint(a[begin:end]):
            return False
    return True


@jit
def fingerprint(a):  # type: ignore[no-untyped-def]
    rounds = a.size * a.itemsize // (8 * LANES)
    h = _rounds(a.ctypes.data, rounds)
    for i in range(rounds * (8 * LANES) // a.itemsize, a.size):
        h = (h ^ np.uint64(a[i])) * _ODD
        h ^= h >> _HALF
    return h


@intrinsic
def _rounds(_: Any, address: Any, rounds: Any) -> Any:
    """h of so many times LANES words."""
    type_ = ir.VectorType(INT, LANES)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        address, rounds = arguments

        def splat(value: int) -> Any:
            return ir.Constant(type_, [integer(value)] * LANES)

        def mix(a: Any, odd: Any, half: Any) -> Any:
            b = builder.mul(a, odd)
            return builder.xor(b, builder.lshr(b, half))

        lanes = cgutils.alloca_once_value(builder, splat(START))
        with each(builder, integer(0), rounds) as index:
            at = builder.inttoptr(builder.add(address, builder.mul(index, integer(8 * LANES))), type_.as_pointer())
            words = builder.load(at, align=4)
            builder.store(mix(builder.xor(builder.load(lanes), words), splat(ODD), splat(32)), lanes)
        h, of_lanes = integer(START), builder.load(lanes)
        for lane in range(LANES):
            word = builder.extract_element(of_lanes, integer(lane))
            h = mix(builder.xor(h, word), integer(ODD), integer(32))
        return h

    return types.uint64(types.int64, types.int64), generate
