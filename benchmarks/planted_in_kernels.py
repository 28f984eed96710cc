"""Mistakes planted in the kernels' source: `python -m alexnet_np.benchmarks.planted_in_kernels`.

The bodies of the backward kernels, and the functions that they use, are altered in one place at a time; the forward is
that of the right kernels. An alteration is a mistake if it runs and gives a wrong gradient on at least one of the
operation's cases. The checkers get only those cases, and what is raised there counts as seen. What raises wherever it
would be wrong, or does not end, is no silent mistake; what changes no gradient by more than rounding is none.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from alexnet_np import gradcheck
from alexnet_np.backend import Array
from alexnet_np.conformance import relative_error
from alexnet_np.dispatch import OPS, Op
from alexnet_np.gradient_check.named import has_derivative
from alexnet_np.gradient_check.targets import target_of
from alexnet_np.ops.cases import Case, cases, named_outputs

from .altered_kernels import Family, Rung, families, limited, load, registered, source
from .mutations import mutants
from .planted_mistakes import ROUNDING, torch_sees
from .tally import Tally, paragraph, rates

Outputs = dict[str, Array]
SEEDS = range(3)  # of inputs and upstream gradients, for what changes no gradient
SECONDS = 20  # that a mutant may take on a case
LARGEST = 2_000_000  # entries of a Jacobian for PyTorch's checker


class Planted(NamedTuple):
    """A mutant that silently gives wrong gradients, and the cases on which it does, the smallest first."""

    op: Op
    backend: str
    what: str
    rung: Rung
    cases: list[Case]


def planted(counts: Counter[str], every: int = 1) -> Iterator[Planted]:
    """The mistakes among all mutants, or among every n-th; `counts` takes the numbers of those that are none."""
    number = 0
    for family in families():
        truth = {rung: _gradients(family.op, kernels) for rung, kernels in load(family).items()}
        by_size = sorted(cases(family.op), key=lambda case: sum(a.size for a in case.arrays))
        for module, functions in family.functions.items():
            file = module.removeprefix("alexnet_np.").replace(".", "/")
            for mutant in mutants(source(module), functions):
                number += 1
                if number % every:
                    continue
                wrong, rung, kind = _judged(family, module, mutant.text, truth)
                if not wrong:
                    counts[kind] += 1
                    continue
                what = f"{family.op.name} {family.backend}, {file}.py:{mutant.line}: {mutant.what}"
                yield Planted(family.op, family.backend, what, rung, [case for case in by_size if case.name in wrong])


def _judged(family: Family, module: str, text: str, truth: dict[str, dict[str, Outputs]]) -> tuple[set[str], Rung, str]:
    """The cases on which a mutant silently differs from the truth, with the first rung that does; or why none."""
    try:
        with limited(SECONDS):
            rungs = load(family, module, text)
    except Exception:
        return set(), {}, "does not run"
    kinds = set()
    for name, rung in rungs.items():
        wrong = set()
        for case, outputs in _gradients(family.op, rung).items():
            if not outputs:
                kinds.add("raises")
            elif any(not relative_error(outputs[key], right) <= ROUNDING for key, right in truth[name][case].items()):
                wrong.add(case)
        if wrong:
            return wrong, rung, "wrong"
    return set(), {}, "does not run" if kinds else "equivalent"


def _gradients(op: Op, rung: Rung) -> dict[str, Outputs]:
    """What the backward kernels write on every case, and their inputs afterwards; nothing where they raise.

    By case; one entry for each backward, seed and array.
    """
    found: dict[str, Outputs] = {}
    for name, calls in _calls(op).items():
        found[name] = {}
        try:
            with limited(SECONDS), registered(rung):
                for seed, backward, case in calls:
                    arrays = [a.copy() for a in case.arrays]
                    outputs = named_outputs(backward, backward(*arrays, **case.keywords))
                    outputs.update(zip(backward.inputs, arrays, strict=True))
                    found[name].update({f"{seed} {backward.name} {key}": a for key, a in outputs.items()})
        except Exception:
            found[name] = {}
    return found


@cache
def _calls(op: Op) -> dict[str, list[tuple[int, Op, Case]]]:
    """The calls of the operation's backwards, by the name of the case."""
    calls: dict[str, list[tuple[int, Op, Case]]] = {}
    for seed in SEEDS:
        for backward in (OPS[name] for name in op.backward):
            for case in cases(backward, np.float64, seed):
                calls.setdefault(case.name, []).append((seed, backward, case))
    return calls


def seen_by_ours(mistake: Planted) -> bool:
    return any(
        _rejected(mistake, lambda case: not gradcheck(mistake.op, *case.arrays, **case.keywords).ok, case)
        for case in mistake.cases
        if has_derivative(case)
    )


def seen_by_torch(mistake: Planted) -> bool:
    """On a case where it accepts the right kernels; it accuses right code where elements tie."""
    accepted = _accepted_by_torch(mistake.op)
    usable = [case for case in mistake.cases if case.name in accepted]
    # A Jacobian of millions of entries takes it a quarter of a minute: only if there is no other case.
    usable = [case for case in usable if accepted[case.name] <= LARGEST] or usable

    def judge(case: Case) -> bool:
        return torch_sees(target_of(mistake.op, case.arrays, case.keywords))

    return any(_rejected(mistake, judge, case) for case in usable)


def _rejected(mistake: Planted, judge: Callable[[Case], bool], case: Case) -> bool:
    try:
        with registered(mistake.rung):
            return judge(case)
    except Exception:
        return True


@cache
def _accepted_by_torch(op: Op) -> dict[str, int]:
    """The cases on which torch.autograd.gradcheck accepts the right kernels, with the entries of their Jacobians."""
    found = {}
    for case in filter(has_derivative, cases(op)):
        target = target_of(op, case.arrays, case.keywords)
        if not torch_sees(target):
            found[case.name] = sum(a.size for a in target.arrays.values()) * target.forward(target.arrays).size
    return found


def study() -> tuple[Tally, Counter[str]]:
    """What was planted and seen, and how many mutants were no mistakes."""
    tally, others = Tally(), Counter[str]()
    for mistake in planted(others):
        theirs = tally.with_torch and seen_by_torch(mistake)
        tally.add(f"{mistake.op.name}, {mistake.backend}", mistake.what, seen_by_ours(mistake), theirs)
    return tally, others


def section(tally: Tally, others: Counter[str]) -> str:
    """The table as a part of a document."""
    how = f"""
        The bodies of the backward kernels and their helpers are altered in one place at a time: operators and arguments
        exchanged, terms and statements left out, overwritten in place of accumulated, constants and bounds off by one,
        axes, strides and paddings taken for each other, options forgotten, the cache of another image, filters
        transposed, results rounded to float32. It counts if it runs and gives a wrong gradient on at least one of the
        operation's cases; the checkers get these cases. Outputs and workspace are full of NaN beforehand, and batches
        are taken two images at a time. {others["does not run"]} alterations do not run, or raise wherever they would be
        wrong; {others["equivalent"]} change no gradient by more than {ROUNDING:g} of its largest element."""
    theirs = """
        What PyTorch's lets pass is of three kinds. Results rounded to float32 stay within its tolerance. |dy| in place
        of dy does not show, since it only sends a dy with one entry of 1. And some of max-pooling show on no other case
        than the one with ties, where it accuses the right code and is not asked."""
    parts = ["## In the kernels' source", paragraph(how), tally.table("kernel")]
    parts += [f"{rates(tally)}. Let pass by ours:{tally.listed()}", *([paragraph(theirs)] if tally.with_torch else [])]
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(section(*study()))
