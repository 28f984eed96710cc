"""Philox4x32-10: random bits as a function of a counter and a key, the same on every backend.

No state is kept: word i of a stream is word i mod 4 of the block whose counter is i div 4. Each round multiplies two
of the four counter words by constants to 64 bits, and mixes the halves with the other two and with the key:

    (c0, c1, c2, c3) ← (hi(B·c2) ^ c1 ^ k0,  lo(B·c2),  hi(A·c0) ^ c3 ^ k1,  lo(A·c0))

Source: Salmon, Moraes, Dror, Shaw, Parallel random numbers: as easy as 1, 2, 3 (SC11).
"""

from typing import Any

from ..backend import Array

A, B = 0xD2511F53, 0xCD9E8D57
BUMP = 0x9E3779B9, 0xBB67AE85  # added to the key after each round
MASK = 0xFFFFFFFF
ROUNDS = 10


def philox4x32(counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[Any, Any, Any, Any]:
    """Four random words for each counter: four Python ints, or four uint64 arrays, each below 2³²."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        a, b = c0 * A, c2 * B
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & MASK, (a >> 32) ^ c3 ^ k1, a & MASK
        k0, k1 = (k0 + BUMP[0]) & MASK, (k1 + BUMP[1]) & MASK
    return c0, c1, c2, c3


def words(first: int, count: int, key: tuple[int, int], xp: Any) -> Array:
    """Words first … first + count of the stream as a uint32 array of `xp`; `first` is a multiple of 4."""
    block = xp.arange(first // 4, (first + count + 3) // 4, dtype=xp.uint64)
    zero = xp.zeros_like(block)
    four = philox4x32((block & xp.uint64(MASK), block >> xp.uint64(32), zero, zero), key)
    return xp.stack(four, axis=1).astype(xp.uint32).reshape(-1)[:count]


def stream_key(seed: int, layer: int, iteration: int) -> tuple[int, int]:
    """The key of a layer's stream at an iteration: (a mix of seed and layer, the iteration), each modulo 2³².

    Layers of one network never share a stream. The iteration stands alone, so that a captured GPU graph can take it
    from a device buffer.
    """
    folded = (seed ^ seed >> 32) & MASK
    return (folded * 0x9E3779B1 + layer * 0x85EBCA6B) & MASK, iteration & MASK
