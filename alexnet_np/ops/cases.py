"""The inputs that tests, checks and benchmarks use: a forward's own, and a backward's made from its forward's.

A backward names its arguments after the inputs and outputs of its forward, so it can be wired without knowing it.
"""

from typing import Any, NamedTuple

import numpy as np

from ..backend import Array
from ..dispatch import Op
from ..operation import Spec
from ..precision import KEPT, accumulator, is_float


class Case(NamedTuple):
    """A call: `op(*arrays, **keywords)`."""

    name: str
    arrays: tuple[Array, ...]
    keywords: dict[str, Any]


class Draw:
    """Random arrays for an operation's cases: `draw(2, 3)` is normal, `values=3` takes few values, so that they tie."""

    def __init__(self, dtype: Any, seed: int) -> None:
        self.dtype, self.random = accumulator(np.dtype(dtype)), np.random.default_rng(seed)

    def __call__(self, *shape: int, values: int | None = None) -> Array:
        if values is None:
            return self.random.standard_normal(shape).astype(self.dtype)
        return self.random.integers(-(values // 2), values - values // 2, shape).astype(self.dtype)

    def integers(self, *shape: int, below: int) -> Array:
        return self.random.integers(0, below, shape)


def wire(
    backward: Op, inputs: dict[str, Array], outputs: dict[str, Array], keywords: dict[str, Any], upstream: Array
) -> tuple[tuple[Array, ...], dict[str, Any]]:
    """The arguments of a backward: its forward's inputs, outputs and keywords by name, `upstream` as the gradient."""
    known = {**inputs, **outputs}
    arrays = tuple(known.get(name, upstream) for name in backward.inputs)
    shapes = {f"{name}_shape": array.shape for name, array in known.items()}
    options = {**keywords, **shapes}
    return arrays, {name: options[name] for name in backward.keywords if name in options}


def named_outputs(op: Op, result: Any) -> dict[str, Array]:
    """What a call of `op` returned, by the names of its outputs."""
    return dict(zip(op.returns, result if len(op.returns) > 1 else (result,), strict=True))


def cases(op: Op, dtype: Any = np.float64, seed: int = 0) -> list[Case]:
    """The cases of an operation in `dtype`; a backward's come from its forward's, with a random upstream gradient."""
    source = op.forward or op
    if source.draw_cases is None:
        raise ValueError(f"{source.name} defines no cases")
    draw, dtype = Draw(dtype, seed), np.dtype(dtype)
    made = []
    for name, drawn, keywords in source.draw_cases(draw):
        inputs = {n: rounded(a, accumulator(dtype) if n in KEPT else dtype) for n, a in drawn.items()}
        if op is source:
            made.append(Case(name, tuple(inputs[i] for i in op.inputs), keywords))
        else:
            wide = {n: rounded(a, accumulator(dtype)) for n, a in inputs.items()}
            specs = source.infer(*(Spec(inputs[i].shape, inputs[i].dtype) for i in source.inputs), **keywords)
            outputs = named_outputs(source, source.definition(**wide, **keywords))
            outputs = {
                n: rounded(np.asarray(a, a.dtype), spec.dtype)
                for (n, a), spec in zip(outputs.items(), specs, strict=True)
            }
            first = outputs[source.returns[0]]
            upstream = rounded(draw(*first.shape), first.dtype)
            made.append(Case(name, *wire(op, inputs, outputs, keywords, upstream)))
    return made


def rounded(array: Array, dtype: Any) -> Array:
    """The array in a floating dtype; one of integers as it is."""
    return array.astype(dtype, copy=False) if is_float(array.dtype) else array
