"""How many planted mistakes a gradient checker sees: `python -m alexnet_np.benchmarks.planted_mistakes [OUT.md]`.

Every operation's backward is altered in every way of two tables: what can go wrong with an array, and what can go wrong
with this operation. An alteration that changes no gradient by more than rounding is no mistake and is left out. The
same mistakes go to torch.autograd.gradcheck with its defaults, through a thin adapter, where PyTorch is installed.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alexnet_np import gradcheck, ops
from alexnet_np.backend import Array
from alexnet_np.dispatch import OPS, Op
from alexnet_np.gradient_check.targets import Target, target_of
from alexnet_np.ops.cases import named_outputs, wire

Gradients = dict[str, Array]
ROUNDING = 1e-12  # of the largest element: less is no mistake


class Mistake(NamedTuple):
    """An operation with a wrong backward."""

    name: str
    target: Target


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


def mistakes() -> Iterator[Mistake]:
    """Every mistake that changes a gradient."""
    for op, inputs, keywords in CALLS:
        right = target_of(op, inputs, keywords)
        dy = np.random.default_rng(0).standard_normal(right.forward(right.arrays).shape)
        truth = right.backward(right.arrays, dy)
        wrong: list[tuple[str, Callable[[Gradients, Array], Gradients]]] = []
        for name, gradient in truth.items():
            for what, _ in alterations(gradient):
                wrong.append((f"d{name} {what}", _altered(right, name, what)))
        for changed in KEYWORDS.get(op.name, []):
            other = target_of(op, inputs, {**keywords, **changed})
            wrong.append((f"backward with {changed}", _crossed(op, right, inputs, keywords, changed, other)))
        wrong += _own(op, right)
        for what, backward in wrong:
            spoilt = backward(right.arrays, dy)
            if any(np.abs(spoilt[n] - g).max() > ROUNDING * np.abs(g).max() for n, g in truth.items()):
                yield Mistake(f"{op.name}: {what}", replace(right, backward=backward))


def _altered(right: Target, name: str, what: str) -> Callable[[Gradients, Array], Gradients]:
    def backward(arrays: Gradients, dy: Array) -> Gradients:
        gradients = right.backward(arrays, dy)
        return {**gradients, name: dict(alterations(gradients[name]))[what]}

    return backward


def _crossed(
    op: Op, right: Target, inputs: Any, keywords: dict[str, Any], changed: dict[str, Any], other: Target
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


def study() -> str:
    """Both rates by operation as a table, and who let what pass."""
    with_torch = find_spec("torch") is not None
    rows: dict[str, list[int]] = {}
    passed: list[str] = []
    for mistake in mistakes():
        row = rows.setdefault(mistake.name.partition(":")[0], [0, 0, 0])
        seen, torch_seen = not gradcheck(mistake.target).ok, with_torch and torch_sees(mistake.target)
        row[0] += 1
        row[1] += seen
        row[2] += torch_seen
        if not seen:
            passed.append(mistake.name)
    total = [sum(row[i] for row in rows.values()) for i in range(3)]
    lines = ["| operation | planted | seen by ours | by torch.autograd.gradcheck |", "|---|---|---|---|"]
    for name, (planted, ours, theirs) in [*rows.items(), ("all", total)]:
        lines.append(f"| {name} | {planted} | {ours} | {theirs if with_torch else 'not installed'} |")
    shares = [f"{total[1] / total[0]:.1%} by ours"]
    if with_torch:
        shares.append(f"{total[2] / total[0]:.1%} by torch.autograd.gradcheck with its defaults")
    listed = [f"- {name}" for name in passed] or ["- none"]
    seen = f"Seen: {', '.join(shares)}."
    return "\n".join(["# Planted mistakes", "", *lines, "", seen, "", "Let pass by ours:", "", *listed])


if __name__ == "__main__":
    text = study()
    print(text)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text + "\n", encoding="utf-8")
