"""The reference of the conformance test: true values, and how far rounding may take a definition."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from alexnet_np import ops
from alexnet_np.conformance import Nonconforming, accepted, check_kernel
from alexnet_np.ops.cases import cases
from alexnet_np.running_error import Estimate, estimate, exact, many_digits, track

RANDOM = np.random.default_rng(0)


def followed(formula: Any, *arrays: Any) -> Estimate:
    with many_digits():
        return estimate(formula(*map(track, arrays)))


def fractions(array: Any) -> Any:
    return np.frompyfunc(lambda number: Fraction(float(number)), 1, 1)(array)


@pytest.mark.parametrize(
    "formula",
    [
        lambda x, y: x * y + x - 3 * y,
        lambda x, y: (x - y) / (x * x + 2),
        lambda x, y: 1 - x + (y**2).sum(axis=0),
        lambda x, y: np.einsum("ij,ij->", x, y),
        lambda x, y: np.maximum(x, 0) - np.where(y > 0, x, -x),
    ],
)
def test_values_have_more_digits_than_a_float(formula: Any) -> None:
    x, y = RANDOM.standard_normal((2, 7, 5))
    got, expected = followed(formula, x, y), np.asarray(formula(*map(fractions, (x, y))))
    for value, rest, true in zip(got.value.flat, got.rest.flat, expected.flat, strict=True):
        assert abs(Fraction(value) + Fraction(rest) - true) <= abs(true) * Fraction(1, 10**30) + Fraction(1, 10**31)


def test_functions() -> None:
    """The exponential of a sum is a product, and so on, further than float64 could tell."""
    x, y = abs(RANDOM.standard_normal((2, 50))) + 0.1
    for left, right in (
        (lambda x, y: np.exp(x + y), lambda x, y: np.exp(x) * np.exp(y)),
        (lambda x, y: np.log(x * y), lambda x, y: np.log(x) + np.log(y)),
        (lambda x, y: (x * y) ** -0.75, lambda x, y: np.exp(np.log(x) * -0.75) * y**-0.75),
    ):
        one, other = followed(left, x, y), followed(right, x, y)
        apart = (one.value - other.value) + (one.rest - other.rest)
        assert (abs(apart) <= 1e-29 * (1 + abs(one.value))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("terms", [1, 8, 200])
def test_deviations_are_those_of_rounding(terms: int, dtype: Any) -> None:
    """Of a sum in order, against 2,000 that were really rounded: each rounding is counted as its largest."""
    x, w = RANDOM.standard_normal((2, terms, 2000)).astype(dtype)
    total = np.zeros(2000, dtype)
    for products in x * w:
        total += products
    true = followed(lambda x, w: (x * w).sum(axis=0), x, w)
    off = np.sqrt(np.mean((total - true.value - true.rest) ** 2)) / (np.finfo(dtype).eps / 2)
    with many_digits():
        sigma = np.sqrt(np.mean([float(s.deviation) ** 2 for s in (track(x) * track(w)).sum(axis=0)]))
    assert 0.3 * sigma < off < sigma


def test_a_difference_keeps_the_error_of_what_it_is_of() -> None:
    x = RANDOM.standard_normal(100)
    near = followed(lambda x: (x * 3 + 1000) - 1000, x)
    assert 900 < near.deviation < 1500, "the rounding at 1000 stays, whatever is left of the value"


def test_what_is_not_rounded_has_no_error() -> None:
    assert followed(lambda x: np.maximum(x, 0)[::2], RANDOM.standard_normal(9)).deviation == 0
    assert exact(np.arange(3)).deviation == 0


def test_right_and_wrong_kernels_are_told_apart_without_a_wider_float(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Apple silicon and Windows, where longdouble is float64."""
    monkeypatch.delattr(np, "longdouble")
    for op in (ops.softmax, ops.lrn, ops.lrn_backward, ops.linear, ops.sgd_momentum_):
        for case in accepted(op, "cpu_numpy", cases(op, np.float64, seed=5)):
            check_kernel(op, "cpu_numpy", case)

    def off(x: Any, *, out: Any) -> None:
        out[...] = ops.softmax.definition(x) * (1 + 2e-14)

    ops.softmax.kernel("cpu_numpy/off")(off)
    try:
        with pytest.raises(Nonconforming, match="y is off by 2e-14"):
            check_kernel(ops.softmax, "cpu_numpy/off", cases(ops.softmax, np.float64)[0])
    finally:
        del ops.softmax.kernels["cpu_numpy/off"]
        ops.softmax.changed()
