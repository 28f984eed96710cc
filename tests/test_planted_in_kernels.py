"""The study of mistakes in the kernels' source in a short form: every 37th alteration; `make study` runs it whole."""

from collections import Counter
from pathlib import Path

import pytest

from alexnet_np import gradcheck
from alexnet_np.benchmarks.altered_kernels import Family, families, limited, load, registered
from alexnet_np.benchmarks.mutations import mutants
from alexnet_np.benchmarks.planted_in_kernels import planted, seen_by_ours
from alexnet_np.dispatch import OPS
from alexnet_np.gradient_check.named import has_derivative
from alexnet_np.ops.cases import cases

FAMILIES = list(families())


def test_every_operation_with_a_backward_takes_part() -> None:
    assert {family.op.name for family in FAMILIES} == {op.name for op in OPS.values() if op.backward and not op.fuses}


def test_mistakes_are_seen() -> None:
    counts: Counter[str] = Counter()
    found = list(planted(counts, every=37))
    assert len(found) >= 40
    assert len(counts) == 2, counts
    passed = [mistake.what for mistake in found if not seen_by_ours(mistake)]
    assert not passed, passed


@pytest.mark.parametrize("family", FAMILIES, ids=[f"{f.op.name}-{f.backend}" for f in FAMILIES])
def test_right_kernels_planted_alike_are_not_accused(family: Family) -> None:
    for rung in load(family).values():
        for case in filter(has_derivative, cases(family.op)):
            with registered(rung):
                assert gradcheck(family.op, *case.arrays, elements=200, **case.keywords).ok, case.name


def test_right_kernels_stay_and_planted_ones_go() -> None:
    before = {name: dict(op.kernels) for name, op in OPS.items()}
    rung = load(FAMILIES[0])[""]
    with pytest.raises(KeyError, match="inside"), registered(rung):
        assert all("cpu_numpy/planted" in OPS[name].kernels for name in rung)
        raise KeyError("inside")
    assert {name: dict(op.kernels) for name, op in OPS.items()} == before


def test_a_source_that_does_not_run_leaves_the_kernels() -> None:
    before = {name: dict(op.kernels) for name, op in OPS.items()}
    module = next(iter(FAMILIES[0].functions))
    with pytest.raises(ZeroDivisionError):
        load(FAMILIES[0], module, "1 / 0")
    assert {name: dict(op.kernels) for name, op in OPS.items()} == before


def test_what_does_not_end_is_stopped() -> None:
    with pytest.raises(TimeoutError), limited(0.05):
        while True:
            pass


def test_mutants_alter_one_place_of_the_named_functions() -> None:
    text = 'def f(x):\n    """2 * x"""\n    return 3 * x\n\n\ndef g(x):\n    return x - 1\n'
    found = mutants(text, {"f"})
    assert {mutant.text for mutant in found} >= {
        text.replace("3 * x", new) for new in ("((3) / (x))", "(3)", "(4) * x")
    }
    for mutant in found:
        changed = [
            (old, new) for old, new in zip(text.splitlines(), mutant.text.splitlines(), strict=True) if old != new
        ]
        assert len(changed) == 1 and changed[0][0] == text.splitlines()[mutant.line - 1]


def test_every_alteration_is_another_text() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    texts = [mutant.text for mutant in mutants(text, {"test_mistakes_are_seen"})]
    assert texts and len(texts) == len(set(texts)) and text not in texts
