"""The Taylor remainder and the complex dot test: right code, and what a planted mistake does to them."""

from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import layers, ops
from alexnet_np.gradient_check import complex_dot, taylor_slope
from alexnet_np.ops.cases import cases

ANALYTIC = [ops.conv2d, ops.lrn, ops.linear, ops.softmax, ops.softmax_cross_entropy]
named = pytest.mark.parametrize("op", ANALYTIC, ids=lambda op: op.name)


def usual(op: Any) -> list[Any]:
    """Saturated logits have no slope left to see, and one class has none at all."""
    return [case for case in cases(op) if "1e4" not in case.name and "one class" not in case.name]


@named
def test_complex_step_agrees_to_rounding(op: Any) -> None:
    for case in usual(op):
        assert complex_dot(op, *case.arrays, seed=2, **case.keywords) < 1e-12, case.name


@named
def test_taylor_slope_is_two(op: Any) -> None:
    for case in usual(op):
        assert abs(taylor_slope(op, *case.arrays, seed=3, **case.keywords) - 2) < 0.05, case.name


def test_taylor_slope_of_a_layer_leaves_it_alone() -> None:
    layer = layers.Linear(6, 4, dtype=np.float64)
    before = {name: array.copy() for name, array in layer.params.items()}
    assert abs(taylor_slope(layer, np.random.default_rng(0).standard_normal((3, 6))) - 2) < 0.05
    for name, array in layer.params.items():
        np.testing.assert_array_equal(array, before[name])


@named
def test_three_per_cent_are_seen(op: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient that is 3 % too large lets the remainder fall as h, and the two products differ."""
    case = usual(op)[0]
    backward = anp.dispatch.OPS[op.backward[0]]
    kernel = backward.find("cpu_numpy")

    def body(*arrays: Any, out: Any, **keywords: Any) -> None:
        kernel.body(*arrays, out=out, **keywords)
        first = out[0] if isinstance(out, tuple) else out
        first *= 1.03

    monkeypatch.setitem(backward.kernels, "cpu_numpy", anp.operation.Kernel(**{**vars(kernel), "body": body}))
    backward.changed()
    try:
        with anp.use("cpu_numpy"):
            assert taylor_slope(op, *case.arrays, seed=3, **case.keywords) < 1.5
            assert complex_dot(op, *case.arrays, seed=2, **case.keywords) > 1e-5
    finally:
        monkeypatch.undo()
        backward.changed()
