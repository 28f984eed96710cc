"""Anything with a forward and a backward, as functions of named NumPy arrays.

A target is an operation of ours, a layer, a network, a pair of plain functions, or any object with `forward` and
`backward` (and `params` and `grads`, if it has parameters); no base class is needed. The checker moves elements of
NumPy arrays; where the inputs or parameters live on a GPU, they are moved there for each call, and results come back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np

from ..backend import Array, array_module, device_of, native
from ..dispatch import OPS, Op
from ..network import Sequential
from ..ops.cases import named_outputs, wire

COMPLEX_STEP = 1e-30  # nothing is subtracted, so it may be as small as one likes
Arrays = dict[str, Array]


@dataclass(frozen=True)
class Target:
    """forward(arrays) gives y; backward(arrays, dy) gives each array's gradient, at the same arrays, as a copy.

    `arrays` are copies of the floating inputs, and an object's own parameters: what moves in them has moved in it.
    """

    name: str
    arrays: Arrays
    forward: Callable[[Arrays], Array]
    backward: Callable[[Arrays, Array], Arrays]
    upstream: bool = True  # False where the backward takes no dy, as that of a loss
    inputs: tuple[Array, ...] = ()  # as given, those of integers too
    floating: tuple[str, ...] = ()  # the names in `arrays` that are inputs and not parameters
    on: Callable[[tuple[Array, ...]], "Target"] | None = None  # the same on other inputs
    backward_again: Callable[[Array], Arrays] | None = None  # a second backward after the same forward
    decisions: Callable[[], Array | None] = lambda: None  # masks or indices of the last forward, one for each output
    tangent: Callable[[Arrays, Arrays], Array] | None = None  # J d at arrays, by a complex step through the definition


def target_of(thing: Any, inputs: tuple[Array, ...], keywords: dict[str, Any]) -> Target:
    """The target that `thing` is. Raises TypeError for what has no forward and backward that we can call, or takes
    other keywords; ValueError where there is nothing to differentiate."""
    if isinstance(thing, Target):
        return thing
    for i, array in enumerate(inputs):
        if device_of(array) is None:
            raise TypeError(f"input {i} must be a NumPy or CuPy array, got {type(array).__name__}")
    inputs = tuple(map(native, inputs))
    if isinstance(thing, Op):
        found = _operation(thing, inputs, keywords)
    elif keywords:
        raise TypeError(f"{', '.join(keywords)}: only an operation of ours takes keywords; bind them in the forward")
    elif isinstance(thing, tuple) and len(thing) == 2 and all(map(callable, thing)):
        found = _functions(*thing, inputs)
    elif callable(getattr(thing, "forward", None)) and callable(getattr(thing, "backward", None)):
        found = _object(thing, inputs)
    else:
        raise TypeError(
            f"cannot check a {type(thing).__name__}: give an operation with a backward, a pair (forward, backward), or "
            "an object with both"
        )
    if not found.arrays:
        raise ValueError(f"{found.name}: there is nothing to differentiate: no input or parameter of floating numbers")
    if empty := [name for name, a in found.arrays.items() if a.size == 0]:
        raise ValueError(f"{found.name}: {empty[0]} has no elements, so there is nothing to check")
    return found


def host(array: Any) -> Array:
    """The array as NumPy's; from a GPU a copy."""
    return array.get() if device_of(array) == "gpu" else np.asarray(array)


def _beside(original: Array, array: Array) -> Array:
    """`array`, NumPy's, on the device of `original`."""
    return array if device_of(original) == "cpu" else array_module(original).asarray(array)


def _named(names: Any, inputs: tuple[Array, ...]) -> tuple[Arrays, Arrays]:
    """The inputs by name, and NumPy copies of those that are differentiated."""
    fixed = dict(zip(names, inputs, strict=True))
    return fixed, {name: host(a).copy() for name, a in fixed.items() if a.dtype.kind == "f"}


def _given(fixed: Arrays, arrays: Arrays) -> Arrays:
    """The inputs of a call, in their order: what is moved in place of what was given."""
    return {name: _beside(a, arrays[name]) if name in arrays else a for name, a in fixed.items()}


def _operation(op: Op, inputs: tuple[Array, ...], keywords: dict[str, Any]) -> Target:
    if not op.backward:
        raise TypeError(f"{op.name} has no backward")
    if len(inputs) != len(op.inputs):
        raise TypeError(f"{op.name} takes {', '.join(op.inputs)}: {len(op.inputs)} arrays, got {len(inputs)}")
    fixed, floating = _named(op.inputs, inputs)
    backwards = [OPS[name] for name in op.backward]
    known = {*op.inputs, *op.returns}
    last: Arrays = {}

    def run(arrays: Arrays) -> tuple[Arrays, Arrays]:
        given = _given(fixed, arrays)
        last.update(named_outputs(op, op(*given.values(), **keywords)))
        return given, last

    def backward(arrays: Arrays, dy: Array) -> Arrays:
        (given, outputs), gradients = run(arrays), {}
        upstream = _beside(inputs[0], dy)
        for each in backwards:
            wired, options = wire(each, given, outputs, {**op.defaults, **keywords}, upstream)
            for name, gradient in named_outputs(each, each(*wired, **options)).items():
                gradients[name[1:]] = host(gradient)
        return gradients

    def tangent(arrays: Arrays, direction: Arrays) -> Array:
        moved = [
            arrays[name] + 1j * COMPLEX_STEP * direction[name] if name in direction else host(arrays.get(name, a))
            for name, a in fixed.items()
        ]
        result = op.definition(*moved, **keywords)
        return np.asarray(result[0] if len(op.returns) > 1 else result).imag / COMPLEX_STEP

    return Target(
        op.name,
        floating,
        lambda arrays: host(run(arrays)[1][op.returns[0]]),
        backward,
        upstream=any(name not in known for each in backwards for name in each.inputs),
        inputs=inputs,
        floating=tuple(floating),
        on=lambda others: _operation(op, others, keywords),
        decisions=lambda: _decisions(last, last[op.returns[0]].size),
        tangent=tangent if op.analytic else None,
    )


def _functions(forward: Callable[..., Any], backward: Callable[..., Any], inputs: tuple[Array, ...]) -> Target:
    name = getattr(forward, "__name__", "function")
    fixed, floating = _named(_parameters(name, forward, inputs), inputs)

    def gradients(arrays: Arrays, dy: Array) -> Arrays:
        given = _given(fixed, arrays).values()
        return _paired(name, floating, backward(_beside(inputs[0], dy), *given))

    return Target(
        name,
        floating,
        lambda arrays: host(forward(*_given(fixed, arrays).values())),
        gradients,
        inputs=inputs,
        floating=tuple(floating),
        on=lambda others: _functions(forward, backward, others),
    )


def _object(thing: Any, inputs: tuple[Array, ...]) -> Target:
    title = type(thing).__name__
    holders = list(thing.items()) if isinstance(thing, Sequential) else [("", thing)]
    owned = {
        f"{prefix}.{key}" if prefix else key: (holder, key)
        for prefix, holder in holders
        for key in getattr(holder, "params", None) or {}
    }
    parameters = {name: holder.params[key] for name, (holder, key) in owned.items()}
    fixed, floating = _named(_parameters(title, thing.forward, inputs), inputs)
    outputs = [0]
    training = {"train": True} if "train" in signature(thing.forward).parameters else {}

    def forward(arrays: Arrays) -> Array:
        for name, own in parameters.items():
            if arrays[name] is not own:
                own[...] = _beside(own, arrays[name])
        y = host(thing.forward(*_given(fixed, arrays).values(), **training))
        outputs[0] = y.size
        return y

    def backward_again(dy: Array) -> Arrays:
        gradients = _paired(title, floating, thing.backward(_beside(inputs[0], dy)))
        return {**gradients, **{name: _gradient(title, holder, key) for name, (holder, key) in owned.items()}}

    def backward(arrays: Arrays, dy: Array) -> Arrays:
        forward(arrays)
        return backward_again(dy)

    return Target(
        title,
        {**floating, **{name: host(own) for name, own in parameters.items()}},
        forward,
        backward,
        inputs=inputs,
        floating=tuple(floating),
        on=lambda others: _object(thing, others),
        decisions=lambda: _decisions(getattr(thing, "cache", None), outputs[0]),
        backward_again=backward_again,
    )


def _decisions(cache: Any, size: int) -> Array | None:
    """The first array of integers or truth values among a layer's own that has one for each output; a copy."""
    for array in cache.values() if isinstance(cache, dict) else ():
        if device_of(array) is not None and array.dtype.kind in "biu" and array.size == size:
            return np.array(host(array)).ravel()
    return None


def _parameters(title: str, forward: Callable[..., Any], inputs: tuple[Array, ...]) -> list[str]:
    """Names for the inputs: those of the forward's parameters. Raises TypeError where there are fewer of them."""
    if isinstance(forward, np.ufunc):  # whose signature only NumPy from 2.4 on tells
        kinds = [(f"x{i + 1}" if forward.nin > 1 else "x", 0) for i in range(forward.nin)]
    else:
        kinds = [(p.name, int(p.kind)) for p in signature(forward).parameters.values()]
    names = [name for name, kind in kinds if kind in (0, 1)]  # what can be given by position
    if any(kind == 2 for _, kind in kinds):  # *inputs
        names += [f"input {i}" for i in range(len(names), len(inputs))]
    if len(names) < len(inputs):
        raise TypeError(f"{title}: its forward takes {len(names)} arrays, got {len(inputs)}")
    return names[: len(inputs)]


def _paired(title: str, floating: Arrays, given: Any) -> Arrays:
    """The gradients that a backward returned, one for each floating input, by their names; copies."""
    gradients = tuple(given) if isinstance(given, tuple | list) else (given,)
    if len(gradients) != len(floating):
        what = f"{len(floating)} floating inputs ({', '.join(floating)})"
        raise ValueError(f"{title}: its backward returns {len(gradients)} gradients, there are {what}")
    return {name: None if g is None else np.array(host(g)) for name, g in zip(floating, gradients, strict=True)}


def _gradient(title: str, holder: Any, key: str) -> Array:
    """The gradient of a parameter, as an object holds it after a backward; a copy, since the next one overwrites it."""
    grads = getattr(holder, "grads", None) or {}
    if key not in grads:
        raise ValueError(f"{title}: after its backward, grads has no {key!r}, a name in params")
    return np.array(host(grads[key]))
