"""Anything with a forward and a backward, as functions of named arrays.

A target is an operation of ours, a layer, a network, a pair of plain functions, or any object with `forward` and
`backward` (and `params` and `grads`, if it has parameters); no base class is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any

from ..backend import Array
from ..dispatch import OPS, Op
from ..network import Sequential
from ..ops.cases import named_outputs, wire


@dataclass(frozen=True)
class Target:
    """forward(arrays) gives y; backward(arrays, dy) gives each array's gradient, at the same arrays.

    `arrays` are copies of inputs, but an object's own parameters: what moves in them has moved in the object.
    """

    name: str
    arrays: dict[str, Array]
    forward: Callable[[dict[str, Array]], Array]
    backward: Callable[[dict[str, Array], Array], dict[str, Array]]
    upstream: bool = True  # False where the backward takes no dy, as that of a loss


def target_of(thing: Any, inputs: tuple[Array, ...], keywords: dict[str, Any]) -> Target:
    """The target that `thing` is. Raises TypeError for what has no forward and backward that we can call."""
    if isinstance(thing, Target):
        return thing
    if isinstance(thing, Op):
        return _operation(thing, inputs, keywords)
    if isinstance(thing, tuple) and len(thing) == 2 and all(map(callable, thing)):
        return _functions(*thing, inputs)
    if callable(getattr(thing, "forward", None)) and callable(getattr(thing, "backward", None)):
        return _object(thing, inputs)
    raise TypeError(
        f"cannot check a {type(thing).__name__}: give an operation with a backward, a pair (forward, backward), or an "
        "object with both"
    )


def _floats(arrays: dict[str, Array]) -> dict[str, Array]:
    return {name: a.copy() for name, a in arrays.items() if a.dtype.kind == "f"}


def _operation(op: Op, inputs: tuple[Array, ...], keywords: dict[str, Any]) -> Target:
    if not op.backward:
        raise TypeError(f"{op.name} has no backward")
    fixed = dict(zip(op.inputs, inputs, strict=True))
    backwards = [OPS[name] for name in op.backward]
    known = {*op.inputs, *op.returns}

    def run(arrays: dict[str, Array]) -> dict[str, Array]:
        return named_outputs(op, op(*(arrays.get(name, fixed[name]) for name in op.inputs), **keywords))

    def backward(arrays: dict[str, Array], dy: Array) -> dict[str, Array]:
        outputs, gradients = run(arrays), {}
        for each in backwards:
            given, options = wire(each, {**fixed, **arrays}, outputs, {**op.defaults, **keywords}, dy)
            for name, gradient in named_outputs(each, each(*given, **options)).items():
                gradients[name[1:]] = gradient
        return gradients

    upstream = any(name not in known for each in backwards for name in each.inputs)
    return Target(op.name, _floats(fixed), lambda arrays: run(arrays)[op.returns[0]], backward, upstream)


def _functions(forward: Callable[..., Any], backward: Callable[..., Any], inputs: tuple[Array, ...]) -> Target:
    names = list(signature(forward).parameters)[: len(inputs)]
    fixed = dict(zip(names, inputs, strict=True))

    def gradients(arrays: dict[str, Array], dy: Array) -> dict[str, Array]:
        given = backward(dy, *{**fixed, **arrays}.values())
        return dict(zip(_floats(fixed), given if isinstance(given, tuple) else (given,), strict=True))

    name = getattr(forward, "__name__", "function")
    return Target(name, _floats(fixed), lambda arrays: forward(*{**fixed, **arrays}.values()), gradients)


def _object(thing: Any, inputs: tuple[Array, ...]) -> Target:
    holders = list(thing.items()) if isinstance(thing, Sequential) else [("", thing)]
    owned = {
        f"{prefix}.{key}" if prefix else key: (holder, key)
        for prefix, holder in holders
        for key in getattr(holder, "params", None) or {}
    }
    parameters = {name: holder.params[key] for name, (holder, key) in owned.items()}
    names = list(signature(thing.forward).parameters)[: len(inputs)]
    fixed = dict(zip(names, inputs, strict=True))
    training = {"train": True} if "train" in signature(thing.forward).parameters else {}

    def forward(arrays: dict[str, Array]) -> Array:
        for name, own in parameters.items():
            if arrays[name] is not own:
                own[...] = arrays[name]
        return thing.forward(*(arrays.get(name, fixed[name]) for name in names), **training)

    def backward(arrays: dict[str, Array], dy: Array) -> dict[str, Array]:
        forward(arrays)
        dx = thing.backward(dy)
        gradients = dict(zip(_floats(fixed), dx if isinstance(dx, tuple) else (dx,), strict=True))
        return {**gradients, **{name: holder.grads[key].copy() for name, (holder, key) in owned.items()}}

    return Target(type(thing).__name__, {**_floats(fixed), **parameters}, forward, backward)
