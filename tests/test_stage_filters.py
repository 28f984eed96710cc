"""U is made anew when, and only when, a number of the filters has changed."""

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np.kernels.stages.filters import COMPARED, _same


@pytest.mark.parametrize("dtype", (np.uint32, np.uint64))
@pytest.mark.parametrize("threads", (1, 2, 3))
def test_every_changed_bit_is_seen(dtype: type, threads: int) -> None:
    size, before = 3 * COMPARED + 5, anp.threads()
    a = np.random.default_rng(0).integers(0, 2**32, size, dtype)
    anp.set_threads(threads)
    try:
        assert _same(a, a.copy())
        for at in (0, 1, COMPARED - 1, COMPARED, size // 2, size - 1):
            b = a.copy()
            b[at] ^= dtype(1 << (at % 32))
            assert not _same(a, b), at
    finally:
        anp.set_threads(before)
