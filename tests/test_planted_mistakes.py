"""The study of planted mistakes in a short form: every seventh of them; `make study` runs it whole."""

from itertools import islice

from alexnet_np import gradcheck
from alexnet_np.benchmarks.planted_mistakes import CALLS, mistakes


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
