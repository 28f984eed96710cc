"""Does a kernel compute its operation? One check for every kernel, ours or a user's.

The kernel runs on the operation's cases and is compared with the definition's true result. Its error may be
`Kernel.error` times what rounding leaves in the definition, both from `running_error.py`: the tolerance follows from
the formula and the data.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .backend import BACKENDS, Array, backend_of, brought
from .dispatch import NoKernel, Op, trace, use
from .ops.cases import Case, named_outputs
from .plan.bound import Bound
from .precision import accumulator, is_bfloat16, is_float, step
from .running_error import Estimate, estimate, exact, many_digits, track

KEPT_REFERENCES = 256  # of some hundred KB: every kernel of an operation is held against the same
_references: dict[tuple[Any, ...], dict[str, Estimate]] = {}


class Nonconforming(AssertionError):
    """A kernel does not do what its operation says; the message tells where."""


def relative_error(got: Array, expected: Array) -> float:
    """Largest difference over the largest expected value; NaN and infinity must stand in the same places.

    An element that is stored in bfloat16 may be off by half a step of its own besides.
    """
    largest = _largest(expected)
    return _difference(got, exact(np.asarray(expected))) / (largest or 1.0)


def _difference(got: Array, expected: Estimate) -> float:
    """The largest one, beyond the rounding of what is stored in bfloat16; infinite where NaN or infinity differ."""
    half_a_step = step(got.dtype) / 2 if is_bfloat16(got.dtype) else 0.0
    value = expected.value
    got = np.asarray(got, value.dtype)
    finite = np.isfinite(value)
    if not np.array_equal(got[~finite], value[~finite], equal_nan=True) or not np.isfinite(got[finite]).all():
        return float("inf")
    off = np.abs(got[finite] - value[finite] - expected.rest[finite])
    if half_a_step:
        off = np.maximum(off - half_a_step * np.maximum(np.abs(value[finite]), np.abs(got[finite])), 0)
    return float(off.max(initial=0))


def _largest(value: Array) -> float:
    value = np.asarray(value)
    return float(np.abs(value[np.isfinite(value)]).max(initial=0))


def reference(op: Op, case: Case) -> dict[str, Estimate]:
    """The true outputs by name (what was overwritten, where the operation works in place), and how far rounding goes.

    Where NaN or infinity stand among the inputs, the question is where they go: the definition runs in float64.
    """
    contents = op.name, repr(case.keywords), *((a.shape, a.dtype.name, a.tobytes()) for a in case.arrays)
    if contents not in _references:
        if len(_references) == KEPT_REFERENCES:
            _references.clear()
        _references[contents] = _estimates(op, case)
    return _references[contents]


def _estimates(op: Op, case: Case) -> dict[str, Estimate]:
    floats = {i: np.asarray(a, np.float64) for i, a in enumerate(case.arrays) if is_float(a.dtype)}
    prepare = track if all(np.isfinite(a).all() for a in floats.values()) else np.copy
    with many_digits():
        arrays = [prepare(floats[i]) if i in floats else a.copy() for i, a in enumerate(case.arrays)]
        returned = op.definition(*arrays, **case.keywords)
        written = {n: a for n, a in zip(op.inputs, arrays, strict=True) if n in op.inplace}
        return {n: estimate(a) for n, a in {**written, **(named_outputs(op, returned) if op.returns else {})}.items()}


def poisoned(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array that shows where nothing was written: NaN, or the least integer."""
    dtype = np.dtype(dtype)
    return np.full(shape, np.nan if is_float(dtype) else np.iinfo(dtype).min, dtype)


def runnable(op: Op, *backends: str) -> list[str]:
    """The keys of the operation's kernels as these backends run them, of those that can run here; all unless given."""
    op.overview()  # loads them
    return [
        name + key[len(backend.bodies) :]
        for name, backend in BACKENDS.items()
        if name in (backends or BACKENDS) and backend.missing() is None
        for key in op.kernels
        if key.partition("/")[0] == backend.bodies
    ]


def run(op: Op, key: str, case: Case, bound: bool = False) -> dict[str, Array]:
    """The kernel's outputs by name, from poisoned buffers. Raises Nonconforming where it changes an input.

    bound: to these arrays, as in a planned step, instead of by a plain call.
    """
    device = backend_of(key).device
    arrays = [brought(a.copy(), device) for a in case.arrays]
    with use(**{op.name: key}), trace() as calls:
        call = op.resolve(*map(op.spec, op.inputs, arrays), **case.keywords)
        out = tuple(brought(poisoned(spec.shape, spec.dtype), device) for spec in call.outputs)
        scratch = brought(poisoned(call.workspace.shape, call.workspace.dtype), device) if call.workspace else None
        if bound:
            on = Bound(op, *map(op.spec, op.inputs, arrays), **case.keywords).on(*arrays, out=out, workspace=scratch)
            on(*[case.keywords[name] for name in op.dynamic])
        else:
            op(*arrays, out=(out if len(out) > 1 else out[0]) if out else None, workspace=scratch, **case.keywords)
    assert call.key == key and (bound or calls[-1].kernel == key)
    arrays, out = [brought(a, "cpu") for a in arrays], tuple(brought(a, "cpu") for a in out)
    for name, before, after in zip(op.inputs, case.arrays, arrays, strict=True):
        if name not in op.inplace and not np.array_equal(before, after, equal_nan=is_float(before.dtype)):
            raise Nonconforming(f"{op.name} {key}, case {case.name!r}: it changes its input {name}")
    written = {n: a for n, a in zip(op.inputs, arrays, strict=True) if n in op.inplace}
    return {**written, **dict(zip(op.returns, out, strict=True))}


def accepted(op: Op, key: str, cases: Sequence[Case]) -> list[Case]:
    """Those of the cases that the kernel does not refuse. Raises Nonconforming where that is none."""
    taken = []
    for case in cases:
        with use(**{op.name: key}):
            try:
                op.resolve(*map(op.spec, op.inputs, case.arrays), **case.keywords)
            except NoKernel:
                continue
        taken.append(case)
    if not taken:
        raise Nonconforming(f"{op.name} {key} refuses every case")
    return taken


def check_kernel(op: Op, key: str, case: Case) -> dict[str, float]:
    """Compare the kernel with the definition on one case; returns each output's error over its bound (at most 1).

    Raises Nonconforming with the output, the error and the bound; or what the call itself raises.
    """
    kernel = op.find(key)
    if kernel is None:
        raise ValueError(f"{op.name} has no kernel {key!r}; it has {', '.join(op.kernels)}")
    got = run(op, key, case)
    if kernel.on:
        for name, array in run(op, key, case, bound=True).items():
            if not np.array_equal(array, got[name], equal_nan=is_float(array.dtype)):
                raise Nonconforming(
                    f"{op.name} {key}, case {case.name!r}: bound to its arrays, it makes another {name}"
                )
    dtype = next(a.dtype for a in case.arrays if is_float(a.dtype))
    unit = step(accumulator(dtype))
    shares = {}
    for name, expected in reference(op, case).items():
        if expected.value.dtype.kind in "iu":
            shares[name] = 0.0
            wrong = np.argwhere(got[name] != expected.value)
            if len(wrong):
                at = tuple(map(int, wrong[0]))
                raise Nonconforming(
                    f"{op.name} {key}, case {case.name!r}: "
                    f"{name}{list(at)} is {got[name][at]}, expected {expected.value[at]}"
                )
            continue
        largest = _largest(expected.value)
        error, bound = _difference(got[name], expected), kernel.error * unit * max(expected.deviation / 2, largest)
        shares[name] = error / (bound or 1.0)
        if not error <= bound:
            raise Nonconforming(
                f"{op.name} {key}, case {case.name!r}, {dtype}: {name} is off by {error / (largest or 1.0):.2g} of its "
                f"largest value, allowed are {bound / (largest or 1.0):.2g}"
            )
    return shares
