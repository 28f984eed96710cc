"""LRN of channels-first images in vectors along rows: rows that are no whole lines, more than a block, few channels."""

from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.backend import Array
from alexnet_np.kernels.lrn.groups import STEP

OPTIONS: dict[str, Any] = {"k": 1.5, "alpha": 0.7}  # an α at which another window is seen
# A line of float32, one more, less than a line, whole vectors and not, two blocks: their last line is done twice.
PIXELS = 16, 17, 7, 31, 40, 65, STEP + 21
ROWS, LOOPS = "cpu_numba/rows", "cpu_numba/loops"
BOUNDS = {np.float32: 2e-6, np.float64: 1e-14}  # of the largest


def both(x: Array, dy: Array, kernel: str, **options: Any) -> tuple[Array, Array, Array]:
    with anp.use(lrn=kernel):
        y, scale = ops.lrn(x, **OPTIONS, **options)
        return y, scale, ops.lrn_backward(dy, x, scale, **OPTIONS, **options)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("size", [1, 3, 5, 9])
@pytest.mark.parametrize("pixels", PIXELS)
def test_as_numpy(pixels: int, size: int, dtype: Any) -> None:
    random = np.random.default_rng([pixels, size])
    lines = pixels * np.dtype(dtype).itemsize >= 64
    for channels, groups in ((1, 1), (2, 1), (7, 1), (12, 2)):
        x, dy = (random.standard_normal((2, channels, pixels, 1)).astype(dtype) for _ in range(2))
        expected = both(x.astype(float), dy.astype(float), "cpu_numpy", size=size, groups=groups)
        for kernel in (ROWS, LOOPS) if lines else (LOOPS,):
            for mine, theirs in zip(both(x, dy, kernel, size=size, groups=groups), expected, strict=True):
                assert np.abs(mine - theirs).max() <= BOUNDS[dtype] * np.abs(theirs).max(), kernel


@pytest.mark.parametrize("dtype", BOUNDS)
def test_nan_stays_in_its_windows(dtype: Any) -> None:
    random = np.random.default_rng(5)
    x, dy = (random.standard_normal((3, 8, 5, 9)).astype(dtype) for _ in range(2))
    x[random.random(x.shape) < 0.03] = np.nan
    x[1, -1, 0, :3] = dy[0, 0, :2] = np.nan
    for mine, theirs in zip(*(both(x, dy, kernel, groups=2) for kernel in (ROWS, "cpu_numpy")), strict=True):
        np.testing.assert_array_equal(np.isnan(mine), np.isnan(theirs))
        assert 0 < np.isnan(mine).mean() < 0.5


@pytest.mark.parametrize("dtype", BOUNDS)
def test_writes_its_own_and_reads_no_other(dtype: Any) -> None:
    """Amid NaN, results are the same, and NaN is still around what was written."""
    random, shape = np.random.default_rng(6), (2, 6, 3, 11)
    values = [random.standard_normal(shape).astype(dtype) for _ in range(2)]
    expected = both(*values, ROWS)
    rooms = [np.full(np.prod(shape) + 64, np.nan, dtype) for _ in range(5)]
    x, dy, y, scale, dx = (room[32:-32].reshape(shape) for room in rooms)
    x[:], dy[:] = values
    with anp.use(lrn=ROWS):
        ops.lrn(x, **OPTIONS, out=(y, scale))
        ops.lrn_backward(dy, x, scale, **OPTIONS, out=dx)
    for mine, theirs in zip((y, scale, dx), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for room in rooms:
        assert np.isnan(room[:32]).all() and np.isnan(room[-32:]).all()


@pytest.mark.parametrize(
    ("plane", "options", "reason"),
    [
        ((4, 4), {}, None),
        ((3, 5), {}, "shorter than a line"),
        ((27, 27), {"beta": 0.5}, "its power is 0.75"),
        ((27, 27), {"size": 17}, "more than the 16 channels"),
    ],
)
def test_which_rung_runs(plane: tuple[int, int], options: dict[str, Any], reason: str | None) -> None:
    x = np.ones((1, 3, *plane), np.float32)
    with anp.trace() as calls, anp.use("cpu_numba"):
        _, scale = ops.lrn(x, **options)
        ops.lrn_backward(x, x, scale, **options)
    assert [call.kernel for call in calls] == [LOOPS if reason else ROWS] * 2
    if reason:
        with anp.use(lrn=ROWS), pytest.raises(anp.NoKernel, match=reason):
            ops.lrn(x, **options)
