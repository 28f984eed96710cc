"""The study of planted mistakes in a short form: every seventh of them; `make study` runs it whole."""

from dataclasses import replace
from itertools import islice

import numpy as np

from alexnet_np import gradcheck, ops
from alexnet_np.benchmarks.planted_mistakes import CALLS, mistakes
from alexnet_np.benchmarks.smallest_error import alone, smallest
from alexnet_np.gradient_check.targets import target_of


def test_there_are_more_than_two_hundred() -> None:
    names = [mistake.name for mistake in mistakes()]
    assert len(names) >= 200
    assert {name.partition(":")[0] for name in names} == {op.name for op, _, _ in CALLS}


def test_planted_mistakes_are_seen() -> None:
    passed = [m.name for m in islice(mistakes(), 0, None, 7) if gradcheck(m.target, seed=1).ok]
    assert not passed, passed


def test_the_right_code_is_not_accused() -> None:
    for op, inputs, keywords in CALLS:
        assert gradcheck(op, *inputs, seed=1, **keywords).ok


def test_what_passes_in_float32_is_small() -> None:
    found = list(islice(mistakes(np.float32), 0, None, 7))
    passed = [m for m in found if gradcheck(m.target, seed=1).ok]
    assert len(passed) < 0.2 * len(found)
    assert all(m.change < 100 * np.finfo(np.float32).eps for m in passed), [m.name for m in passed]


def test_a_linear_gradient_is_checked_to_rounding() -> None:
    x, w, b = (np.random.default_rng(0).standard_normal(shape) for shape in ((2, 3), (4, 3), (4,)))
    bias = replace(alone(target_of(ops.linear, (x, w, b), {}), "b"), tangent=None)
    found = smallest(bias, single=True)
    assert found is not None and 1e-14 < found < 1e-11
