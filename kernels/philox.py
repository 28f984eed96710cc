"""Philox4x32-10 for compiled kernels: the words of consecutive blocks, in vectors. See alexnet_np/ops/philox.py."""

import numpy as np

from alexnet_np.ops import philox

from .compiled import jit

A, B, MASK, HALF = np.uint64(philox.A), np.uint64(philox.B), np.uint64(philox.MASK), np.uint64(32)
BUMP0, BUMP1 = np.uint64(philox.BUMP[0]), np.uint64(philox.BUMP[1])
ROUNDS = philox.ROUNDS


@jit
def words(first, key0, key1, w0, w1, w2, w3):  # type: ignore[no-untyped-def]
    """Word j of block first + i into wj[i]; first and keys uint64, the four arrays uint32 and of one length.

    Products of two 32-bit words are 64 bits, so the words are in 64 bits on the way.
    """
    for i in range(len(w0)):
        block = first + np.uint64(i)
        c0, c1, c2, c3 = block & MASK, block >> HALF, np.uint64(0), np.uint64(0)
        k0, k1 = key0, key1
        for _ in range(ROUNDS):
            a, b = c0 * A, c2 * B
            c0, c1, c2, c3 = (b >> HALF) ^ c1 ^ k0, b & MASK, (a >> HALF) ^ c3 ^ k1, a & MASK
            k0, k1 = (k0 + BUMP0) & MASK, (k1 + BUMP1) & MASK
        w0[i], w1[i], w2[i], w3[i] = np.uint32(c0), np.uint32(c1), np.uint32(c2), np.uint32(c3)
