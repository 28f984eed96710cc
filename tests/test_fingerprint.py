"""Fingerprints against their definition in Python's integers, and whether they see changes."""

import numpy as np
import pytest

from alexnet_np.backend import Array
from alexnet_np.kernels.fingerprint import LANES, ODD, PIECES, START, fingerprint, same, take


def mix(a: int) -> int:
    b = a * ODD % 2**64
    return b ^ b >> 32


def by_definition(a: Array) -> int:
    rounds = a.nbytes // (8 * LANES)
    words = np.frombuffer(a.tobytes()[: rounds * 8 * LANES], np.uint64).reshape(rounds, LANES)
    h = START
    for lane in words.T:
        of_lane = START
        for word in lane:
            of_lane = mix(of_lane ^ int(word))
        h = mix(h ^ of_lane)
    for rest in a[words.nbytes // a.itemsize :]:
        h = mix(h ^ int(rest))
    return h


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("size", [0, 1, 15, 32, 33, 200])
def test_is_its_definition(size: int, dtype: type) -> None:
    a = np.random.default_rng(size).integers(0, 2**32, size + 1).astype(dtype)[1:]  # where no vector begins
    assert int(fingerprint(a)) == by_definition(a)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sees_every_change_of_one_number_and_of_two(dtype: type) -> None:
    """Of any bit, of signs in pairs, and of zeros; the other pieces stay as they are."""
    random = np.random.default_rng(0)
    a = random.standard_normal(PIECES * 70 + 11).astype(dtype)
    a[: a.size // 2] = 0
    bits = a.view(f"u{a.itemsize}")
    before = np.zeros(PIECES, np.uint64)
    take(bits, 0, PIECES, before)
    assert same(bits, 0, PIECES, before)
    bounds = np.arange(PIECES + 1) * a.size // PIECES
    for _ in range(300):
        place = random.integers(0, a.size - 32)
        for places in ([place], [place, place + 32]):
            for bit in (a.itemsize * 8 - 1, random.integers(0, a.itemsize * 8)):
                changed = bits.copy()
                changed[places] ^= changed.dtype.type(1) << changed.dtype.type(bit)
                assert not same(changed, 0, PIECES, before)
                after = np.zeros(PIECES, np.uint64)
                take(changed, 0, PIECES, after)
                assert set(np.flatnonzero(after != before)) == set(np.searchsorted(bounds, places, "right") - 1)
