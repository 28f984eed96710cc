"""What PyTorch calls for each of our operations, on the same arrays, as its layers call it in a training step.

Where PyTorch has a function for a gradient, that is called; where its gradient is made of several (LRN, dropout,
cross-entropy), autograd runs them over a graph that is kept. What its own layers prepare outside of the call (a graph,
a saved input) is prepared outside here as well. It allocates its results, as it does in a step.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from alexnet_np.backend import Array
from alexnet_np.dispatch import Op
from alexnet_np.ops.windows import pair, sides

LAYOUTS = {"torch": torch.contiguous_format, "torch channels_last": torch.channels_last}


class Peer(NamedTuple):
    """`run` is timed; `outputs` takes what it returned to arrays by our names of the outputs, as far as both agree."""

    run: Callable[[], Any]
    outputs: Callable[[Any], dict[str, Array]]


class Inexpressible(Exception):
    """PyTorch has no function for the call; says why."""


def peers(op: Op, arrays: tuple[Array, ...], keywords: dict[str, Any]) -> tuple[dict[str, Peer], dict[str, str]]:
    """PyTorch's calls by layout, and reasons where there is none. Images in channels_last only where there are maps."""
    made: dict[str, Peer] = {}
    absent: dict[str, str] = {}
    for name, layout in LAYOUTS.items():
        if layout is torch.channels_last and not any(a.ndim == 4 for a in arrays):
            continue
        try:
            if op.name not in CALLS:
                raise Inexpressible(f"PyTorch has nothing like {op.name}")
            given = {i: _tensor(a, layout) for i, a in zip(op.inputs, arrays, strict=True)}
            made[name] = CALLS[op.name](given, dict(op.defaults, **keywords), layout)
        except Inexpressible as why:
            absent[name] = str(why)
    return made, absent


def _tensor(array: Array, layout: torch.memory_format) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    return tensor.contiguous(memory_format=layout) if array.ndim == 4 else tensor


def _arrays(*names: str) -> Callable[[Any], dict[str, Array]]:
    def outputs(result: Any) -> dict[str, Array]:
        tensors = result if isinstance(result, tuple | list) else (result,)
        return {n: np.asarray(t.detach().numpy(), order="C") for n, t in zip(names, tensors, strict=True)}

    return outputs


def _nothing(result: Any) -> dict[str, Array]:
    """PyTorch draws other random numbers than we do."""
    return {}


def _conv(w: torch.Tensor, keywords: dict[str, Any]) -> tuple[list[int], list[int], list[int], int]:
    """Stride, PyTorch's own padding, the sides that it has to be given by functional.pad, and groups."""
    (top, bottom), (left, right) = sides("padding", keywords["padding"])
    even = (top, left) == (bottom, right)
    stride = list(pair("stride", keywords["stride"]))
    return stride, [top, left] if even else [0, 0], [] if even else [left, right, top, bottom], keywords["groups"]


def conv2d(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    stride, padding, beyond, groups = _conv(t["w"], keywords)

    def run() -> torch.Tensor:
        x = functional.pad(t["x"], beyond) if beyond else t["x"]
        return functional.conv2d(x, t["w"], t["b"], stride, padding, 1, groups)

    return Peer(run, _arrays("y"))


def _conv_backward(
    dy: torch.Tensor, x: torch.Tensor, w: torch.Tensor, keywords: dict[str, Any], mask: list[bool]
) -> Callable[[], Any]:
    """One pass for the gradients that the mask picks of x, w and b; what the forward had padded was saved by it."""
    stride, padding, beyond, groups = _conv(w, keywords)
    padded = functional.pad(x, beyond) if beyond else x
    options = [len(w)], stride, padding, [1, 1], False, [0, 0], groups, mask
    return lambda: torch.ops.aten.convolution_backward(dy, padded, w, *options)


def conv2d_backward_data(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    x = torch.zeros(keywords["x_shape"]).contiguous(memory_format=layout)
    run = _conv_backward(t["dy"], x, t["w"], keywords, [True, False, False])
    (left, _, top, _) = _conv(t["w"], keywords)[2] or (0, 0, 0, 0)
    inside = slice(top, top + x.shape[2]), slice(left, left + x.shape[3])
    return Peer(lambda: run()[0][(..., *inside)], _arrays("dx"))


def conv2d_backward_weights(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    w = torch.zeros(keywords["w_shape"]).contiguous(memory_format=layout)
    run = _conv_backward(t["dy"], t["x"], w, keywords, [False, True, True])
    return Peer(lambda: run()[1:], _arrays("dw", "db"))


def _lrn(x: torch.Tensor, k: dict[str, Any]) -> torch.Tensor:
    alpha = k["alpha"] if k["alpha_over_size"] else k["alpha"] * k["size"]
    towers = [functional.local_response_norm(t, k["size"], alpha, k["beta"], k["k"]) for t in x.chunk(k["groups"], 1)]
    return torch.cat(towers, 1) if len(towers) > 1 else towers[0]


def lrn(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    return Peer(lambda: _lrn(t["x"], keywords), _arrays("y"))


def lrn_backward(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    x = t["x"].detach().requires_grad_()
    return Peer(_gradient(_lrn(x, keywords), x, t["dy"]), _arrays("dx"))


def _gradient(y: torch.Tensor, x: torch.Tensor, dy: torch.Tensor | None = None) -> Callable[[], Any]:
    return lambda: torch.autograd.grad(y, x, dy, retain_graph=True)


def _pooling(keywords: dict[str, Any]) -> tuple[list[int], list[int], list[int]]:
    (top, bottom), (left, right) = sides("padding", keywords["padding"])
    if (top, left) != (bottom, right):
        raise Inexpressible("PyTorch pads both sides alike")
    return list(pair("size", keywords["size"])), list(pair("stride", keywords["stride"])), [top, left]


def maxpool2d(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    size, stride, padding = _pooling(keywords)
    return Peer(
        lambda: functional.max_pool2d(t["x"], size, stride, padding, return_indices=True), _arrays("y", "index")
    )


def maxpool2d_backward(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    x = torch.zeros(keywords["x_shape"]).contiguous(memory_format=layout)  # only its shape and layout are looked at
    index = t["index"].long().contiguous(memory_format=layout)
    options = *_pooling(keywords), [1, 1], False, index
    return Peer(lambda: torch.ops.aten.max_pool2d_with_indices_backward(t["dy"], x, *options), _arrays("dx"))


def relu(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    return Peer(lambda: torch.relu(t["x"]), _arrays("y"))


def relu_backward(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    return Peer(lambda: torch.ops.aten.threshold_backward(t["dy"], t["y"], 0), _arrays("dx"))


def _dropped(x: torch.Tensor, k: dict[str, Any]) -> torch.Tensor:
    if not k["scale_at_train"]:
        x = x * (1 - k["rate"])
    return functional.dropout(x, k["rate"], training=True)


def dropout(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    return Peer(lambda: _dropped(t["x"], keywords), _nothing)


def dropout_backward(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    x = torch.ones_like(t["dy"]).requires_grad_()
    return Peer(_gradient(_dropped(x, keywords), x, t["dy"]), _nothing)


def linear(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    return Peer(lambda: functional.linear(t["x"], t["w"], t["b"]), _arrays("y"))


def linear_backward_data(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    return Peer(lambda: t["dy"] @ t["w"], _arrays("dx"))


def linear_backward_weights(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    return Peer(lambda: (t["dy"].t() @ t["x"], t["dy"].sum(0)), _arrays("dw", "db"))


def softmax(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    return Peer(lambda: torch.softmax(t["x"], 1), _arrays("y"))


def softmax_backward(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    return Peer(lambda: torch.ops.aten._softmax_backward_data(t["dy"], t["y"], 1, t["y"].dtype), _arrays("dx"))


def softmax_cross_entropy(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    return Peer(lambda: functional.cross_entropy(t["logits"], t["labels"]), _arrays("loss"))


def softmax_cross_entropy_backward(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    logits = t["probs"].log().requires_grad_()
    return Peer(_gradient(functional.cross_entropy(logits, t["labels"]), logits), _arrays("dlogits"))


def sgd_momentum_(t: dict[str, Any], keywords: dict[str, Any], layout: Any) -> Peer:
    """The same rule while the learning rate is constant; PyTorch's momentum is ours over −lr."""
    lr, weights = keywords["lr"], t["weights"].clone().requires_grad_()
    options = {"momentum": keywords["momentum"], "weight_decay": keywords["weight_decay"], "fused": True}
    sgd = torch.optim.SGD([weights], lr, **options)
    weights.grad = t["gradient"]
    sgd.state[weights]["momentum_buffer"] = t["velocity"] / -lr

    def step() -> torch.Tensor:
        sgd.step()
        return weights

    return Peer(step, _arrays("weights"))


CALLS = {
    call.__name__: call
    for call in (
        conv2d, conv2d_backward_data, conv2d_backward_weights, lrn, lrn_backward, maxpool2d, maxpool2d_backward, relu,
        relu_backward, dropout, dropout_backward, linear, linear_backward_data, linear_backward_weights, softmax,
        softmax_backward, softmax_cross_entropy, softmax_cross_entropy_backward, sgd_momentum_,
    )
}  # fmt: skip
