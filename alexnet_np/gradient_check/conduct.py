"""How a forward and a backward behave beside their values: what they repeat, change, leave unwritten or refuse.

Faults are wrong whatever the gradients are. Remarks say what was refused: no fault, if it is done with an exception.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..backend import Array, array_module, device_of
from .directions import dot_test
from .elements import ROUNDINGS, SAFETY
from .probe import Probe
from .targets import Arrays, Target, host

LARGE = 64.0  # the size of a second upstream gradient, the first one's being 1
Findings = tuple[list[str], list[str]]  # faults, remarks


def repeats(probe: Probe) -> list[str]:
    """Whether the forward gives the same twice; what else is found means nothing if it is far off."""
    again = np.array(probe.target.forward(probe.arrays), np.float64).ravel()
    if np.array_equal(again, probe.y, equal_nan=True):
        return []
    by = float(np.abs(again - probe.y).max())
    return [f"forward is not deterministic: its output differs by up to {by:.2g} from one call to the next"]


def gradients_and_findings(probe: Probe, dy: Array) -> tuple[Arrays, Findings]:
    """The gradients for dy, float64, and what is found of the call beside their values."""
    target = probe.target
    faults: list[str] = []
    remarks: list[str] = []
    given, kept = dy.copy(), {key: a.copy() for key, a in probe.arrays.items()}
    first = target.backward(probe.arrays, given)
    if not np.array_equal(given, dy):
        faults.append("backward changes the upstream gradient")
    for key, before in kept.items():
        if not np.array_equal(before, probe.arrays[key]):
            faults.append(f"{key} is changed")
            probe.arrays[key][...] = before
    faults += _differences(first, target.backward(probe.arrays, dy.copy()), "one backward to the next")
    if target.backward_again is not None:
        try:
            again = target.backward_again(dy.copy())
        except Exception as error:  # as our layers do; a user's may refuse in any way
            remarks.append(f"a second backward: {_refusal(error)}")
        else:
            faults += _differences(first, again, "one backward to a second after the same forward")
    gradients = {}
    for key, array in probe.arrays.items():
        g = first.get(key)
        if g is None or g.shape != array.shape:
            faults.append(f"d{key} has shape {None if g is None else g.shape}, expected {array.shape}")
        else:
            gradients[key] = g.astype(np.float64)
            if g.dtype != array.dtype:
                faults.append(f"d{key} is {g.dtype}, {key} is {array.dtype}")
    if target.upstream and len(gradients) == len(kept):
        faults += _nonlinear(probe, dy, gradients)
    return gradients, (faults, remarks)


def _refusal(error: Exception) -> str:
    return f"refused ({type(error).__name__}: {str(error).partition(chr(10))[0]})"


def _differences(first: Arrays, again: Arrays, between: str) -> list[str]:
    return [
        f"d{key} differs from {between}: accumulated, or not deterministic"
        for key, g in first.items()
        if g is not None and not np.array_equal(g, again[key], equal_nan=True)
    ]


def _nonlinear(probe: Probe, dy: Array, gradients: Arrays) -> list[str]:
    """Whether backward is linear in dy, as Jᵀ is: Jᵀ(dy + e) = Jᵀdy + Jᵀe. e is large, so that clipping shows."""
    e = (LARGE * np.random.default_rng(dy.size).standard_normal(dy.shape)).astype(dy.dtype)
    of_e, of_both, faults = probe.gradients(e), probe.gradients(dy + e), []
    for key, g in gradients.items():
        largest = np.abs(g).max() + np.abs(of_e[key]).max()
        off = float(np.abs(g + of_e[key] - of_both[key]).max())
        if off > ROUNDINGS * np.finfo(probe.arrays[key].dtype).eps * largest:
            faults.append(f"d{key} is not linear in the upstream gradient: a sum of two of them is off by {off:.2g}")
    return faults


@contextmanager
def poisoned_memory(xp: Any) -> Iterator[None]:
    """Inside, `xp.empty` and `xp.empty_like` give NaN, or the least integer: what is never written shows.

    Fresh memory is often zero by chance, so that a forgotten element passes for a right one.
    """

    def poisoned(make: Callable[..., Array]) -> Callable[..., Array]:
        def made(*args: Any, **options: Any) -> Array:
            array = make(*args, **options)
            if array.dtype.kind in "fc":
                array.fill(np.nan)
            elif array.dtype.kind in "iu":
                array.fill(np.iinfo(array.dtype).min)
            return array

        return made

    plain = {name: getattr(xp, name) for name in ("empty", "empty_like")}
    for name, make in plain.items():
        setattr(xp, name, poisoned(make))
    try:
        yield
    finally:
        for name, make in plain.items():
            setattr(xp, name, make)


def unwritten(probe: Probe, dy: Array, gradients: Arrays, deterministic: bool) -> list[str]:
    """Whether results change where memory that was never written holds something else."""
    module = np if probe.target.inputs == () else array_module(probe.target.inputs[0])
    try:
        with poisoned_memory(module), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = np.array(probe.target.forward(probe.arrays), np.float64).ravel()
            again = probe.gradients(dy)
    except Exception as error:  # an index, say, that was read from there
        return [f"memory is read that was never written: with other contents it raises {type(error).__name__}: {error}"]
    faults = []
    found = {"the output": (probe.y, y), **{f"d{key}": (g, again[key]) for key, g in gradients.items()}}
    for name, (before, after) in found.items():
        other = np.isnan(after) & ~np.isnan(before) | ((before != after) & ~np.isnan(before) & deterministic)
        if other.any():
            at = tuple(map(int, np.argwhere(other)[0]))
            faults.append(f"{name} is not written everywhere: element {at} is what the memory held before")
    return faults


def edges(probe: Probe, dy: Array, gradients: Arrays, seed: int, values: bool) -> Findings:
    """Non-contiguous input, a batch of one and an empty one: handled, or refused with an exception.

    values: whether the values of a batch of one are checked too, as makes sense where those of the whole are right.
    """
    findings: Findings = ([], [])
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tries: dict[str, Callable[[], Findings]] = {
            "non-contiguous input": lambda: _strided(probe, dy, gradients),
            "a batch of one": lambda: _batch(probe, 1, seed, values),
            "an empty batch": lambda: _batch(probe, 0, seed, False),
        }
        for what, check in tries.items():
            try:
                faults, remarks = check()
            except Exception as error:  # whatever a user's code raises: it did not pass over it in silence
                faults, remarks = [], [_refusal(error)]
            findings[0].extend(f"with {what}, {fault}" for fault in faults)
            findings[1].extend(f"{what}: {remark}" for remark in remarks)
    return findings


def strided(array: Array) -> Array:
    """The same values with a gap after each element."""
    if array.ndim == 0:
        return array
    wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def _strided(probe: Probe, dy: Array, gradients: Arrays) -> Findings:
    target = probe.target
    if any(device_of(a) == "gpu" for a in target.inputs):
        return [], ["not tried on the GPU"]
    arrays = {key: strided(a) if key in target.floating else a for key, a in probe.arrays.items()}
    y = np.array(target.forward(arrays), np.float64).ravel()
    faults = []
    if not (np.abs(y - probe.y) <= SAFETY * probe.noise).all():
        faults.append("the output is another")
    for key, g in target.backward(arrays, strided(dy)).items():
        bound = ROUNDINGS * np.finfo(probe.arrays[key].dtype).eps * np.abs(gradients[key]).max()
        if not (np.abs(g - gradients[key]) <= bound).all():
            faults.append(f"d{key} is another")
    return faults, []


def _batch(probe: Probe, size: int, seed: int, values: bool) -> Findings:
    """The first `size` images, if the first axis of the first input is that of the images."""
    target, inputs = probe.target, probe.target.inputs
    if target.on is None or not inputs or inputs[0].ndim == 0 or inputs[0].shape[0] <= size:
        return [], ["not tried: there is no larger one to take it from"]
    if (found := _cut(target, size, probe.shape)) is None:
        return [], ["not tried: the output does not follow the first axis of the first input"]
    cut, y = found
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(probe.dtype)
    faults = []
    for key, g in cut.backward(cut.arrays, dy if target.upstream else np.ones_like(dy)).items():
        if g is None or g.shape != cut.arrays[key].shape:
            faults.append(f"d{key} has shape {None if g is None else g.shape}, expected {cut.arrays[key].shape}")
        elif np.isfinite(y).all() and not np.isfinite(g).all():
            faults.append(f"d{key} is not finite")
    if values and not faults:
        one = Probe(cut, seed)
        for key in cut.arrays:
            worst = dot_test(one, key, np.random.default_rng(seed))
            if worst is not None and worst.excess > 1:
                faults.append(f"d{key} is wrong: {worst.analytic:.6g}, {worst.oracle}: {worst.numeric:.6g}")
    return faults, []


def _cut(target: Target, size: int, shape: tuple[int, ...]) -> tuple[Target, Array] | None:
    """The target on fewer images: every input as long as the first is cut, or else the first and those of integers.

    None where the output does not shrink with them; a scalar does if more than one input was cut. Raises what the last
    try raised if all of them did.
    """
    assert target.on is not None
    images = target.inputs[0].shape[0]
    as_long = [a.ndim > 0 and a.shape[0] == images for a in target.inputs]
    fewer = [
        cut and (i == 0 or a.dtype.kind in "iu") for i, (cut, a) in enumerate(zip(as_long, target.inputs, strict=True))
    ]
    raised: Exception | None = None
    for cuts in (as_long, fewer):
        try:
            inputs = tuple(a[:size].copy() if cut else a for cut, a in zip(cuts, target.inputs, strict=True))
            found = target.on(inputs)
            y = host(found.forward(found.arrays))
        except Exception as error:
            raised = error
            continue
        follows = y.shape == (size, *shape[1:]) if shape else y.shape == () and sum(cuts) > 1
        if follows:
            return found, y
        raised = None
    if raised is not None:
        raise raised
    return None
