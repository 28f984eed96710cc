"""Dropout in vectors: the same bits as the stream of words says, wherever a group of blocks begins and ends."""

from itertools import product
from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.backend import Array
from alexnet_np.kernels.philox import GROUP, keep
from alexnet_np.ops.dropout import threshold
from alexnet_np.ops.philox import stream_key, words

DTYPES = np.float32, np.float64
KEY = 2**40 + 5, 19, 2**32 + 7
SIZES = 1, 3, 4, GROUP - 1, GROUP, GROUP + 1, 3 * GROUP + 5, 1000


def kept(x: Array, rate: float, factor: Any, first: int = 0) -> Array:
    """From the words as NumPy makes them; first: the block of x[0]."""
    word = words(4 * first, x.size, stream_key(*KEY), np)
    return np.where(word >= threshold(rate), x * x.dtype.type(factor), x.dtype.type(0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_size_and_rate(dtype: Any) -> None:
    for size, rate in product(SIZES, (0.0, 0.1, 0.5, 0.999)):
        x = np.random.default_rng(size).standard_normal(size).astype(dtype)
        with anp.use("cpu_numba"):
            found = [op(x, rate=rate, key=KEY) for op in (ops.dropout, ops.dropout_backward)]
            papers = ops.dropout(x, rate=rate, key=KEY, scale_at_train=False)
        for y in found:
            assert y.tobytes() == kept(x, rate, 1 / (1 - rate)).tobytes(), (size, rate)
        assert papers.tobytes() == kept(x, rate, 1).tobytes(), (size, rate)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_pass_or_are_dropped(dtype: Any) -> None:
    x = np.array([np.nan, np.inf, -np.inf, -0.0, -1] * 20, dtype)
    with anp.use("cpu_numba"):
        y = ops.dropout(x, rate=0.5, key=KEY)
    expected = kept(x, 0.5, 2)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.signbit(y[y == 0]), np.signbit(expected[expected == 0]))


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alexnet_np.kernels.dropout.cpu_numba.LEAST", 1)
    x, before = np.random.default_rng(0).standard_normal(9973).astype(np.float32), anp.threads()
    try:
        for threads in (1, 2, 3):
            anp.set_threads(threads)
            with anp.use("cpu_numba"):
                assert ops.dropout(x, rate=0.3, key=KEY).tobytes() == kept(x, 0.3, 1 / (1 - 0.3)).tobytes()
    finally:
        anp.set_threads(before)


def test_blocks_beyond_32_bits() -> None:
    """The second word of the counter, which no array in memory reaches."""
    first, x = 2**32 - 3, np.ones(2 * GROUP + 1, np.float32)
    y, (key0, key1) = np.empty_like(x), stream_key(*KEY)
    keep(x, first, key0, key1, threshold(0.5), 1.0, y)
    np.testing.assert_array_equal(y, kept(x, 0.5, 1, first))
