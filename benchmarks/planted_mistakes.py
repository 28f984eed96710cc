"""How many planted mistakes a gradient checker sees: `python -m alexnet_np.benchmarks.planted_mistakes [float32]`.

Every operation's backward is altered in every way of two tables: what can go wrong with an array, and what can go wrong
with this operation. An alteration that changes no gradient by more than rounding is no mistake and is left out. The
same mistakes go to torch.autograd.gradcheck with its defaults, through a thin adapter, where PyTorch is installed.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from alexnet_np import gradcheck, ops
from alexnet_np.backend import Array
from alexnet_np.dispatch import OPS, Op
from alexnet_np.gradient_check.targets import Target, target_of
from alexnet_np.ops.cases import named_outputs, wire

from .tally import WITH_TORCH, Tally, paragraph, rates

Gradients = dict[str, Array]
ROUNDING = 1e-12  # of the largest element: less is no mistake


class Mistake(NamedTuple):
    """An operation with a wrong backward; how much it changes a gradient, as a share of the largest element."""

    name: str
    target: Target
    change: float


def _draw(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


LABELS = np.array([2, 0, 3])
CALLS: list[tuple[Op, tuple[Array, ...], dict[str, Any]]] = [
    (ops.conv2d, (_draw(2, 4, 6, 6), _draw(6, 2, 3, 3), _draw(6)),
     {"stride": 2, "padding": ((1, 0), (0, 1)), "groups": 2}),
    (ops.maxpool2d, (_draw(2, 3, 7, 7),), {"size": 3, "stride": 2, "padding": ((1, 0), (0, 0))}),
    (ops.lrn, (_draw(2, 8, 3, 3),), {"groups": 2}),
    (ops.lrn, (_draw(2, 8, 2, 3),), {"alpha": 1.0, "k": 1.0, "alpha_over_size": True}),
    (ops.relu, (_draw(3, 2, 4, 4),), {}),
    (ops.dropout, (_draw(4, 9),), {"rate": 0.4, "key": (1, 2, 3)}),
    (ops.linear, (_draw(3, 5), _draw(5, 5), _draw(5)), {}),
    (ops.softmax, (_draw(3, 4),), {}),
    (ops.softmax_cross_entropy, (_draw(3, 5), LABELS), {}),
]  # fmt: skip

# What can be given to the backward in place of the forward's own keywords.
KEYWORDS: dict[str, list[dict[str, Any]]] = {
    "conv2d": [{"padding": ((0, 1), (1, 0))}, {"padding": ((1, 0), (1, 0))}, {"padding": ((0, 1), (0, 1))}],
    "maxpool2d": [],
    "lrn": [{"size": 3}, {"size": 7}, {"alpha": 0.0}, {"alpha": 2e-5}, {"alpha": 5e-4}, {"beta": 0.5}, {"beta": 1.0},
            {"groups": 1}, {"groups": 2}, {"groups": 4}, {"alpha_over_size": True}, {"alpha_over_size": False}],
    "dropout": [{"key": (1, 2, 4)}, {"key": (1, 3, 3)}, {"key": (2, 2, 3)}, {"scale_at_train": False},
                {"train": False}, {"rate": 0.5}, {"rate": 0.39}, {"train": False, "scale_at_train": False}],
}  # fmt: skip


def _slices(g: Array, axis: int, at: slice, factor: float) -> Array:
    changed = g.copy()
    changed[(slice(None),) * axis + (at,)] *= factor
    return changed


def alterations(g: Array) -> Iterator[tuple[str, Array]]:
    """Every way in which one gradient is spoilt."""
    yield "by 1.01", 1.01 * g
    yield "by 1 + 1e-5", (1 + 1e-5) * g
    yield "of the wrong sign", -g
    yield "zero", 0 * g
    yield "by the batch", g / 3
    yield "in float32", g.astype(np.float32).astype(np.float64)
    yield "plus a constant", g + 1e-6 * np.abs(g).max()
    one = g.copy()
    one.flat[one.size // 2] *= 1.1
    yield "with one element off", one
    for axis, length in enumerate(g.shape):
        if length > 1:
            yield f"shifted along axis {axis}", np.roll(g, 1, axis)
            yield f"reversed along axis {axis}", np.flip(g, axis).copy()
            yield f"without the last of axis {axis}", _slices(g, axis, slice(-1, None), 0)
            yield f"with the first of axis {axis} twice", _slices(g, axis, slice(0, 1), 2)
    for axis in range(g.ndim - 1):
        if g.shape[axis] == g.shape[axis + 1]:
            yield f"with axes {axis} and {axis + 1} exchanged", g.swapaxes(axis, axis + 1).copy()


def _own(op: Op, right: Target) -> Iterator[tuple[str, Callable[[Gradients, Array], Gradients]]]:
    """Mistakes that this operation invites: terms left out, a stale cache, the wrong mask."""
    x = next(iter(right.arrays.values())).copy()
    stale = {name: np.roll(a, 1, axis=0) for name, a in right.arrays.items()}
    yield "a stale cache", lambda arrays, dy: right.backward(stale, dy)
    if op is ops.relu:
        yield "mask of the gradient", lambda arrays, dy: {"x": dy * (dy > 0)}
        yield "no mask", lambda arrays, dy: {"x": dy}
        yield "mask turned round", lambda arrays, dy: {"x": dy * (x < 0)}
        yield "leak of 1e-4", lambda arrays, dy: {"x": dy * np.where(x > 0, 1, 1e-4)}
    if op is ops.softmax:
        y = ops.softmax(x)
        yield "sum left out", lambda arrays, dy: {"x": dy * y}
        yield "sigmoid's", lambda arrays, dy: {"x": dy * y * (1 - y)}
        yield "mean for sum", lambda arrays, dy: {"x": y * (dy - (dy * y).mean(axis=1, keepdims=True))}
    if op is ops.softmax_cross_entropy:
        n, k = x.shape
        yield "without 1/N", lambda arrays, dy: {"logits": n * right.backward(arrays, dy)["logits"]}
        yield (
            "one label of another",
            lambda arrays, dy: {"logits": (ops.softmax(x) - np.eye(k)[np.roll(LABELS, 1)]) / n},
        )
        yield "by the classes", lambda arrays, dy: {"logits": n / k * right.backward(arrays, dy)["logits"]}


def mistakes(dtype: Any = np.float64) -> Iterator[Mistake]:
    """Every alteration that changes a gradient by more than `bounds` in this dtype."""
    for op, given, keywords in CALLS:
        inputs = tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in given)
        right = target_of(op, inputs, keywords)
        right = replace(right, forward=remembered(right.forward))
        dy = np.random.default_rng(0).standard_normal(right.forward(right.arrays).shape).astype(dtype)
        truth = right.backward(right.arrays, dy)
        bound = bounds(op, inputs, keywords, dy, truth)
        wrong: list[tuple[str, Callable[[Gradients, Array], Gradients]]] = []
        for name, gradient in truth.items():
            for what, _ in alterations(gradient):
                wrong.append((f"d{name} {what}", _altered(right, name, what)))
        for changed in KEYWORDS.get(op.name, []):
            wrong.append((f"backward with {changed}", _crossed(op, inputs, keywords, changed)))
        wrong += _own(op, right)
        for what, backward in wrong:
            spoilt = _in(dtype, backward)
            found = spoilt(right.arrays, dy)
            change = {n: np.abs(found[n] - g).max() / np.abs(g).max() for n, g in truth.items()}
            if any(change[n] > bound[n] for n in truth):
                yield Mistake(f"{op.name}: {what}", replace(right, backward=spoilt), float(max(change.values())))


def bounds(
    op: Op, inputs: tuple[Array, ...], keywords: dict[str, Any], dy: Array, truth: Gradients
) -> dict[str, float]:
    """How far each gradient may be off without being wrong, as a share of its largest element.

    ROUNDING in float64. In a smaller dtype what a kernel may be off by in `conformance`: twice the error that the right
    gradient has, against the one in float64 at the same values, and at least two epsilons.
    """
    if dy.dtype == np.float64:
        return dict.fromkeys(truth, ROUNDING)
    wide = target_of(op, tuple(a.astype(np.float64) if a.dtype.kind == "f" else a for a in inputs), keywords)
    exact = wide.backward(wide.arrays, dy.astype(np.float64))
    eps = float(np.finfo(dy.dtype).eps)
    return {n: 2 * max(eps, float(np.abs(truth[n] - g).max() / np.abs(g).max())) for n, g in exact.items()}


def remembered(forward: Callable[[Gradients], Array]) -> Callable[[Gradients], Array]:
    """The same function; it computes once for the same values, which are those of every check of a target."""
    known: dict[bytes, Array] = {}

    def run(arrays: Gradients) -> Array:
        key = b"".join(a.tobytes() for a in arrays.values())
        if key not in known:
            known[key] = np.array(forward(arrays))
        return known[key].copy()

    return run


def _in(dtype: Any, backward: Callable[[Gradients, Array], Gradients]) -> Callable[[Gradients, Array], Gradients]:
    return lambda arrays, dy: {name: gradient.astype(dtype) for name, gradient in backward(arrays, dy).items()}


def _altered(right: Target, name: str, what: str) -> Callable[[Gradients, Array], Gradients]:
    def backward(arrays: Gradients, dy: Array) -> Gradients:
        gradients = right.backward(arrays, dy)
        return {**gradients, name: dict(alterations(gradients[name]))[what]}

    return backward


def _crossed(
    op: Op, inputs: Any, keywords: dict[str, Any], changed: dict[str, Any]
) -> Callable[[Gradients, Array], Gradients]:
    """The forward's outputs as they are, its backward with other keywords."""

    def backward(arrays: Gradients, dy: Array) -> Gradients:
        given = {**dict(zip(op.inputs, inputs, strict=True)), **arrays}
        outputs, gradients = named_outputs(op, op(*given.values(), **keywords)), {}
        for each in (OPS[name] for name in op.backward):
            a, k = wire(each, given, outputs, {**op.defaults, **keywords, **changed}, dy)
            gradients.update({n[1:]: g for n, g in named_outputs(each, each(*a, **k)).items()})
        return gradients

    return backward


def torch_sees(target: Target) -> bool:
    """Whether torch.autograd.gradcheck, with its defaults, rejects the target."""
    import torch

    names = list(target.arrays)

    class Adapter(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            ctx.save_for_backward(*tensors)
            arrays = {n: t.numpy() for n, t in zip(names, tensors, strict=True)}
            return torch.from_numpy(np.array(target.forward(arrays)))

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            arrays = {n: t.numpy() for n, t in zip(names, ctx.saved_tensors, strict=True)}
            scale = 1.0 if target.upstream else float(dy)
            gradients = target.backward(arrays, np.ascontiguousarray(dy.numpy()))
            return tuple(torch.from_numpy(np.array(scale * gradients[n])) for n in names)

    tensors = [torch.from_numpy(a.copy()).requires_grad_() for a in target.arrays.values()]
    return not torch.autograd.gradcheck(Adapter.apply, tensors, raise_exception=False)


def study(dtype: Any = np.float64) -> Tally:
    """Both rates by operation, and what ours let pass. PyTorch's checker is not asked in less than float64."""
    tally, eps = Tally(WITH_TORCH and dtype is np.float64), np.finfo(dtype).eps
    for mistake in mistakes(dtype):
        name = f"{mistake.name} ({mistake.change / eps:.2g} ε)" if dtype is np.float32 else mistake.name
        theirs = tally.with_torch and torch_sees(mistake.target)
        tally.add(mistake.name.partition(":")[0], name, not gradcheck(mistake.target).ok, theirs)
    return tally


def section(tally: Tally) -> str:
    """The table in float64 as a part of a document."""
    how = """
        Every backward is altered in every way of two tables: what can go wrong with an array, and what can go wrong
        with this operation."""
    parts = ["## Around the gradients", paragraph(how), tally.table("operation")]
    return "\n\n".join([*parts, f"{rates(tally)}. Let pass by ours:{tally.listed()}"])


def section_float32(tally: Tally) -> str:
    how = """
        A change is a mistake here if it is larger than what a kernel's gradient may be off by in float32: twice the
        error that the right one has, and at least two ε, of the largest element. ε is float32's, 1.2e-7. PyTorch's
        checker is meant for float64 and is not asked."""
    why = """
        Those multiply a gradient by 1 + 1e-5 (84 ε), or add 1e-6 of its largest element (8 ε). The bound of a
        comparison is 64 ε for the gradient's own rounding, and 8 times the error of the differences. That error is a
        few ε where y is linear; where curvature forbids large steps, as in LRN and softmax, and beside a kink it is
        some 25 to 1,500 ε. How small an error may be is in the table at the end. In float64 all of these are seen."""
    parts = ["## The same in float32", paragraph(how), tally.table("operation")]
    parts.append(f"{rates(tally)}. Let pass by ours, with the size of the change:{tally.listed()}")
    return "\n\n".join([*parts, *([paragraph(why)] if tally.passed else [])])


if __name__ == "__main__":
    print(section_float32(study(np.float32)) if "float32" in sys.argv[1:] else section(study()))
