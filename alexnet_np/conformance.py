"""Does a kernel compute its operation? One check for every kernel, ours or a user's.

The kernel runs on the operation's cases and is compared with the definition in the next wider precision. Its error may
be `Kernel.error` times that of the definition in the same precision, the largest of a few draws of the case: the
tolerance is measured, not guessed.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from .backend import BACKENDS, Array, backend_of, device_of
from .dispatch import NoKernel, Op, trace, use
from .ops.cases import Case, cases, named_outputs

DRAWS = 5  # of the same case, since the largest of a few rounding errors scatters
WIDER = {np.dtype(np.float32): np.float64, np.dtype(np.float64): np.longdouble}


class Nonconforming(AssertionError):
    """A kernel does not do what its operation says; the message tells where."""


def relative_error(got: Array, expected: Array) -> float:
    """Largest difference over the largest expected value; NaN and infinity must stand in the same places."""
    expected = np.asarray(expected)
    got = np.asarray(got, expected.dtype)
    finite = np.isfinite(expected)
    if not np.array_equal(got[~finite], expected[~finite], equal_nan=True) or not np.isfinite(got[finite]).all():
        return float("inf")
    largest = np.abs(expected[finite]).max(initial=0)
    return float(np.abs(got[finite] - expected[finite]).max(initial=0) / (largest or 1))


def results(op: Op, case: Case, dtype: Any = None) -> dict[str, Array]:
    """The definition's outputs by name (what it overwrote, where it works in place), with floats taken to `dtype`."""
    arrays = [a.astype(dtype or a.dtype) if a.dtype.kind == "f" else a.copy() for a in case.arrays]
    returned = op.definition(*arrays, **case.keywords)
    written = {n: a for n, a in zip(op.inputs, arrays, strict=True) if n in op.inplace}
    return {**written, **(named_outputs(op, returned) if op.returns else {})}


def poisoned(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array that shows where nothing was written: NaN, or the least integer."""
    dtype = np.dtype(dtype)
    return np.full(shape, np.nan if dtype.kind == "f" else np.iinfo(dtype).min, dtype)


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


def brought(array: Array, device: str) -> Array:
    """A copy of the array on the device, 'cpu' or 'gpu'."""
    if device_of(array) == device:
        return array.copy()
    return import_module("cupy").asarray(array) if device == "gpu" else array.get()


def run(op: Op, key: str, case: Case) -> dict[str, Array]:
    """The kernel's outputs by name, from poisoned buffers. Raises Nonconforming where it changes an input."""
    device = backend_of(key).device
    arrays = [brought(a, device) for a in case.arrays]
    with use(**{op.name: key}), trace() as calls:
        call = op.resolve(*map(op.spec, op.inputs, arrays), **case.keywords)
        out = tuple(brought(poisoned(spec.shape, spec.dtype), device) for spec in call.outputs)
        scratch = brought(poisoned(call.workspace.shape, call.workspace.dtype), device) if call.workspace else None
        op(*arrays, out=(out if len(out) > 1 else out[0]) if out else None, workspace=scratch, **case.keywords)
    assert calls[-1].kernel == call.key == key
    arrays, out = [brought(a, "cpu") for a in arrays], tuple(brought(a, "cpu") for a in out)
    for name, before, after in zip(op.inputs, case.arrays, arrays, strict=True):
        if name not in op.inplace and not np.array_equal(before, after, equal_nan=before.dtype.kind == "f"):
            raise Nonconforming(f"{op.name} {key}, case {case.name!r}: it changes its input {name}")
    written = {n: a for n, a in zip(op.inputs, arrays, strict=True) if n in op.inplace}
    return {**written, **dict(zip(op.returns, out, strict=True))}


@cache
def rounding(op: Op, name: str, dtype: Any) -> dict[str, float]:
    """The definition's own relative error in `dtype`, by output: the largest of a few draws of the named case."""
    worst: dict[str, float] = {}
    for seed in range(DRAWS):
        case = next(c for c in cases(op, dtype, seed) if c.name == name)
        plain, truth = results(op, case), results(op, case, WIDER[dtype])
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
    dtype = next(a.dtype for a in case.arrays if a.dtype.kind == "f")
    plain, truth = rounding(op, case.name, dtype), results(op, case, WIDER[dtype])
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
        bound = kernel.error * max(plain[name], float(np.finfo(dtype).eps))
        shares[name] = error / bound
        if not error <= bound:
            raise Nonconforming(
                f"{op.name} {key}, case {case.name!r}, {dtype}: {name} is off by {error:.2g} of its largest value, "
                f"allowed are {bound:.2g}"
            )
    return shares
