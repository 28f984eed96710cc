"""Philox against its published test vectors, and what dropout makes of its words."""

import numpy as np
import pytest

from alexnet_np import ops
from alexnet_np.ops.philox import philox4x32, stream_key, words

# From the authors' known-answer file: counter, key, the four words.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]) -> None:
    assert philox4x32(counter, key) == expected  # type: ignore[arg-type]
    as_arrays = tuple(np.array([c], np.uint64) for c in counter)
    assert tuple(int(word[0]) for word in philox4x32(as_arrays, key)) == expected  # type: ignore[arg-type]


def test_word_i_is_word_i_mod_4_of_block_i_div_4() -> None:
    key = stream_key(11, 4, 9)
    stream = words(0, 1003, key, np)
    for i in (0, 1, 2, 3, 4, 517, 1002):
        assert stream[i] == philox4x32((i // 4, 0, 0, 0), key)[i % 4]
    np.testing.assert_array_equal(words(400, 603, key, np), stream[400:])
    far = words(2**34, 4, key, np)  # the block number needs its second word
    assert tuple(map(int, far)) == philox4x32((0, 1, 0, 0), key)


def test_streams_differ() -> None:
    """By seed, by layer, by iteration; layers of one network cannot share a key."""
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2**40, 0, 0)]
    drawn = [tuple(words(0, 8, stream_key(*key), np)) for key in keys]
    assert len(set(drawn)) == len(keys)
    assert len({stream_key(123, layer, 0) for layer in range(10_000)}) == 10_000


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_share_kept(rate: float) -> None:
    """The share is the binomial's, within five standard deviations."""
    x = np.ones((100, 1000))
    y = ops.dropout(x, rate=rate, key=(5, 1, 0), scale_at_train=False)
    assert set(np.unique(y)) == {0.0, 1.0}
    assert abs(y.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / x.size)
    # Neighbours are independent: their products average to the square of the share.
    assert abs((y[:, 1:] * y[:, :-1]).mean() - (1 - rate) ** 2) < 5 / np.sqrt(x.size)


def test_threshold_is_the_floor_of_rate_times_2_to_32() -> None:
    """A word equal to ⌊rate · 2³²⌋ is kept, the one below is dropped."""
    key, x = (3, 1, 4), np.ones(64)
    word = int(words(0, 64, stream_key(*key), np)[10])
    kept = ops.dropout(x, rate=word / 2**32, key=key, scale_at_train=False)
    dropped = ops.dropout(x, rate=(word + 1) / 2**32, key=key, scale_at_train=False)
    assert kept[10] == 1 and dropped[10] == 0


def test_key_as_an_array() -> None:
    """A captured step reads the key when it runs; the bits are the same."""
    x = np.random.default_rng(0).standard_normal((7, 9)).astype(np.float32)
    for op in (ops.dropout, ops.dropout_backward):
        np.testing.assert_array_equal(
            op(x, rate=0.5, key=(8, 2, 77)), op(x, rate=0.5, key=np.array([8, 2, 77], np.uint64))
        )
