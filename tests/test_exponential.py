"""The exponential of compiled kernels, and softmax's largest logit, beside NumPy's."""

from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.backend import Array
from alexnet_np.kernels.compiled import jit
from alexnet_np.kernels.exponential import exponential
from alexnet_np.running_error import estimate, many_digits, track

DTYPES = np.float32, np.float64


@jit
def _each(x, y):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        y[i] = exponential(x[i])


def exponentials(x: Array) -> Array:
    y = np.empty_like(x)
    _each(x, y)
    return y


@pytest.mark.parametrize("dtype", DTYPES)
def test_within_a_unit_of_the_last_place(dtype: Any) -> None:
    """Also where results are below the least normal number."""
    random, info = np.random.default_rng(0), np.finfo(dtype)
    lowest = np.log(float(info.smallest_subnormal))
    x = np.concatenate([random.uniform(lowest, 0, 50_000), -(10 ** random.uniform(-9, 2, 50_000))]).astype(dtype)
    with many_digits():
        exact = estimate(np.exp(track(x)))
    unit = np.spacing(np.maximum(exact.value.astype(dtype), info.smallest_subnormal))
    assert (np.abs(exponentials(x) - exact.value - exact.rest) <= unit).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_ends(dtype: Any) -> None:
    x = np.array([0, -0.0, -np.inf, np.nan, -1e30, np.finfo(dtype).min], dtype)
    np.testing.assert_array_equal(exponentials(x), np.array([1, 1, 0, np.nan, 0, 0], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_rows_with_ends(dtype: Any) -> None:
    """As NumPy's, and nothing of a row is seen in another."""
    rows = [[-3, -2, -7, -2.5], [np.inf, 0, 1, 2], [np.nan, 0, 1, 2], [-np.nan, 0, 1, 2], [-np.inf, 0, 1, 2],
            [-np.inf] * 4, [-0.0, 0, -0.0, -1e-30], [5, 1e30, -1e30, 2], [0, -700, -90, -1000]]  # fmt: skip
    x = np.array(rows, dtype)
    with np.errstate(invalid="ignore"), anp.use("cpu_numpy"):
        expected = ops.softmax(x)
    with anp.use("cpu_numba"):
        found = ops.softmax(x)
    np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [6, 37, 1000])
def test_softmax_does_not_depend_on_where_its_arrays_lie(dtype: Any, classes: int) -> None:
    values, found = np.random.default_rng(0).standard_normal((4, classes)).astype(dtype), set()
    room = np.empty(3 * values.size + 80, dtype)
    for gap in range(40):
        x, y = (room[start:][: values.size].reshape(values.shape) for start in (0, values.size + gap))
        for given, made in ((x, y), (y, x)):
            given[:] = values
            with anp.use("cpu_numba"):
                found.add(ops.softmax(given, out=made).tobytes())
    assert len(found) == 1
