"""Does a kernel compute its operation? One check for every kernel, ours or a user's.

The kernel runs on the operation's cases and is compared with the definition in the next wider precision. Its error may
be `Kernel.error` times that of the definition in the same precision, the largest of a few draws of the case: the
tolerance is measured, not guessed.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from .backend import BACKENDS, Array, backend_of, brought
from .dispatch import NoKernel, Op, trace, use
from .ops.cases import Case, cases, named_outputs
from .plan.bound import Bound
from .precision import accumulator, is_bfloat16, is_float, step

DRAWS = 5  # of the same case, since the largest of a few rounding errors scatters


class Nonconforming(AssertionError):
    """A kernel does not do what its operation says; the message tells where."""


def wider(dtype: Any) -> Any:
    """The next wider precision, in which a definition tells the truth."""
    return np.longdouble if dtype == np.float64 else np.float64


def relative_error(got: Array, expected: Array) -> float:
    """Largest difference over the largest expected value; NaN and infinity must stand in the same places.

    An element that is stored in bfloat16 may be off by half a step of its own besides.
    """
    expected = np.asarray(expected)
    half_a_step = step(got.dtype) / 2 if is_bfloat16(got.dtype) else 0.0
    got = np.asarray(got, expected.dtype)
    finite = np.isfinite(expected)
    if not np.array_equal(got[~finite], expected[~finite], equal_nan=True) or not np.isfinite(got[finite]).all():
        return float("inf")
    largest = np.abs(expected[finite]).max(initial=0)
    off = np.abs(got[finite] - expected[finite])
    if half_a_step:
        off = np.maximum(off - half_a_step * np.maximum(np.abs(expected[finite]), np.abs(got[finite])), 0)
    return float(off.max(initial=0) / (largest or 1))


def results(op: Op, case: Case, dtype: Any = None) -> dict[str, Array]:
    """The definition's outputs by name (what it overwrote, where it works in place), with floats taken to `dtype`."""
    arrays = [a.astype(dtype or a.dtype) if is_float(a.dtype) else a.copy() for a in case.arrays]
    returned = op.definition(*arrays, **case.keywords)
    written = {n: a for n, a in zip(op.inputs, arrays, strict=True) if n in op.inplace}
    return {**written, **(named_outputs(op, returned) if op.returns else {})}


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


@cache
def rounding(op: Op, name: str, dtype: Any) -> dict[str, float]:
    """The definition's own relative error in `dtype`, by output: the largest of a few draws of the named case."""
    worst: dict[str, float] = {}
    for seed in range(DRAWS):
        case = next(c for c in cases(op, dtype, seed) if c.name == name)
        plain, truth = results(op, case, accumulator(dtype)), results(op, case, wider(dtype))
        for output, expected in truth.items():
            worst[output] = max(worst.get(output, 0.0), relative_error(plain[output], expected))
    return worst


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
    plain, truth = rounding(op, case.name, dtype), results(op, case, wider(dtype))
    shares = {}
    for name, expected in truth.items():
        if np.asarray(expected).dtype.kind in "iu":
            shares[name] = 0.0
            wrong = np.argwhere(got[name] != expected)
            if len(wrong):
                at = tuple(map(int, wrong[0]))
                raise Nonconforming(
                    f"{op.name} {key}, case {case.name!r}: {name}{list(at)} is {got[name][at]}, expected {expected[at]}"
                )
            continue
        error = relative_error(got[name], expected)
        bound = kernel.error * max(plain[name], step(accumulator(dtype)))
        shares[name] = error / bound
        if not error <= bound:
            raise Nonconforming(
                f"{op.name} {key}, case {case.name!r}, {dtype}: {name} is off by {error:.2g} of its largest value, "
                f"allowed are {bound:.2g}"
            )
    return shares
