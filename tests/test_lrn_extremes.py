"""LRN of very large and very small numbers: what float32 can hold comes out, and beyond it a zero, not a NaN."""

from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.backend import Array
from alexnet_np.kernels.lrn import channels_last
from alexnet_np.kernels.static import Static
from alexnet_np.kernels.vector import REGISTER_BYTES

LANES = REGISTER_BYTES // 4
OPTIONS: dict[str, Any] = {"k": 2.0, "alpha": 1e-4, "alpha_over_size": False}
SIZES = 1e-30, 1e10, 1e14, 3e15, 1e18  # of x: from 3e15 on scale^1.5 is beyond float32, and at 1e21 the scale is


def images(size: float) -> tuple[Array, Array]:
    random = np.random.default_rng(3)
    x, dy = (random.standard_normal((2, 3 * LANES, 4, 5)).astype(np.float32) for _ in range(2))
    return x * np.float32(size), dy


def eager(x: Array, dy: Array, backend: str) -> tuple[Array, Array]:
    with anp.use(backend):
        y, scale = ops.lrn(x, **OPTIONS)
        return y, ops.lrn_backward(dy, x, scale, **OPTIONS)


def planned(x: Array, dy: Array, _: str) -> tuple[Array, Array]:
    """By the serial cores that a plan's stages call."""
    x, dy = (np.ascontiguousarray(a.transpose(0, 2, 3, 1)) for a in (x, dy))
    pixels, channels = x.size // x.shape[-1], x.shape[-1]
    masks, terms = channels_last.masks(channels, 5, x.dtype), np.empty((channels_last.STEP + 2) * channels, x.dtype)
    # A window looks at a line before the first pixel and at one behind the last.
    rooms = [np.zeros(x.size + 2 * LANES, x.dtype) for _ in range(4)]
    inner = [room[LANES : LANES + x.size] for room in rooms]
    inner[0][:], inner[1][:] = x.reshape(-1), dy.reshape(-1)
    at_x, at_dy, at_y, at_dx = (part.ctypes.data for part in inner)
    form, rest = (Static(5, False), Static(4, LANES)), (pixels, channels, 1, masks.ctypes.data, 2.0, 1e-4)
    channels_last.forward(*form, at_x, at_y, *rest)
    channels_last.backward(*form, at_dy, at_x, terms[channels:].ctypes.data, at_dx, *rest)
    y, dx = (part.reshape(x.shape).transpose(0, 3, 1, 2) for part in inner[2:])
    return y, dx


@pytest.mark.parametrize("run", [eager, planned])
@pytest.mark.parametrize("size", SIZES)
def test_as_in_float64(size: float, run: Any) -> None:
    x, dy = images(size)
    y, dx = run(x, dy, "cpu_numba")
    for found, expected in zip((y, dx), eager(x.astype(float), dy.astype(float), "cpu_numpy"), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("run", [eager, planned])
def test_a_scale_of_infinity_leaves_nothing(run: Any) -> None:
    x, dy = images(1e21)
    with np.errstate(over="ignore"):
        found, expected = run(x, dy, "cpu_numba"), eager(x, dy, "cpu_numpy")
    some = np.isinf(ops.lrn(x, **OPTIONS)[1])
    assert some.mean() > 0.9
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine[some], theirs[some])
        assert not theirs[some].any()
