"""A prediction makes U anew when, and only when, a number of the filters has changed."""

import numpy as np
import pytest
from planned import LIMIT, network, off

import alexnet_np as anp
from alexnet_np.kernels.fingerprint import PIECES
from alexnet_np.kernels.stages.filters import Filters
from alexnet_np.layers import Conv2d, ReLU


@pytest.mark.parametrize("images", (1, 40))
@pytest.mark.parametrize("threads", (1, 2, 3))
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_every_changed_bit_is_seen(dtype: type, threads: int, images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the threads compare by themselves (many images) or before their part of the convolution (one)."""
    made, to_u, before, random = [], Filters.to_u, anp.threads(), np.random.default_rng(0)
    monkeypatch.setattr(Filters, "to_u", lambda self: (made.append(self.name), to_u(self)))
    conv = Conv2d(128, 192, 3, padding=1, dtype=dtype, seed=1)
    model = network((128, 7, 7), conv, ReLU(), dtype=dtype)
    x, w = random.standard_normal((images, 128, 7, 7)).astype(dtype), conv.params["weight"].reshape(-1)
    bits, piece = w.view(f"u{w.itemsize}"), w.size // PIECES
    anp.set_threads(threads)
    try:
        plan = anp.Plan(model, x.shape)
        for at in (None, 0, 1, piece - 1, piece, w.size // 2, w.size - 1):
            if at is not None:
                bits[at] ^= bits.dtype.type(1 << (at % 20))
            made.clear()
            y, again = plan.predict(x), plan.predict(x)
            assert made == ["conv2d1"], at
            np.testing.assert_array_equal(y, again)
        w[:500] = 1  # much, so that an old U would show
        assert off(plan.predict(x), model.forward(x)) <= LIMIT[dtype]
    finally:
        anp.set_threads(before)
