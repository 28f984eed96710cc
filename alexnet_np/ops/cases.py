"""The inputs that tests, checks and benchmarks use: a forward's own, and a backward's made from its forward's.

A backward names its arguments after the inputs and outputs of its forward, so it can be wired without knowing it.
"""

from typing import Any, NamedTuple

import numpy as np

from ..backend import Array
from ..dispatch import Op


class Case(NamedTuple):
    """A call: `op(*arrays, **keywords)`."""

    name: str
    arrays: tuple[Array, ...]
    keywords: dict[str, Any]


class Draw:
    """Random arrays for an operation's cases: `draw(2, 3)` is normal, `values=3` takes few values, so that they tie."""

    def __init__(self, dtype: Any, seed: int) -> None:
        self.dtype, self.random = np.dtype(dtype), np.random.default_rng(seed)

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
    draw = Draw(dtype, seed)
    made = []
    for name, inputs, keywords in source.draw_cases(draw):
        if op is source:
            made.append(Case(name, tuple(inputs[i] for i in op.inputs), keywords))
        else:
            outputs = named_outputs(source, source.definition(**inputs, **keywords))
            outputs = {k: np.asarray(v, v.dtype) for k, v in outputs.items()}
            upstream = draw(*outputs[source.returns[0]].shape)
            made.append(Case(name, *wire(op, inputs, outputs, keywords, upstream)))
    return made
