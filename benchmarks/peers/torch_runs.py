"""PyTorch's training step and inference in each of its modes: eager and compiled, NCHW and channels_last.

A step is forward with PyTorch's own dropout, loss, backward, and fused SGD; gradients are freed and made again, as
zero_grad() does by default. Compiling happens at the first call, before anything is timed.
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from alexnet_np.backend import Array
from alexnet_np.network import Sequential

from .torch_networks import Drawn, network

LAYOUTS = {"": torch.contiguous_format, " channels_last": torch.channels_last}


class Mode(NamedTuple):
    """`run` returns the loss or the probabilities; `state` is its weights now; `answer` is what is checked of it."""

    run: Callable[[], Any]
    state: Callable[[], dict[str, Array]]
    answer: Callable[[], Array]


def training(variant: str, model: Sequential, x: Array, labels: Array, lr: float) -> dict[str, Mode]:
    """A step by mode, each on weights of its layout; `answer` is the loss without dropout, before an update."""
    modes = {}
    for layout, (net, images) in _layouts(variant, model, x).items():
        net.train()
        sgd = torch.optim.SGD(net.parameters(), lr, momentum=0.9, weight_decay=5e-4, fused=True)
        eager, target = net[:-1], torch.from_numpy(labels)
        for name, forward in {f"torch{layout}": eager, f"torch compiled{layout}": torch.compile(eager)}.items():
            modes[name] = Mode(*_training(net, forward, sgd, images, target))
    return modes


def _training(net: Any, forward: Any, sgd: Any, x: Any, labels: Any) -> tuple[Any, Any, Any]:
    def step() -> float:
        sgd.zero_grad()
        loss = functional.cross_entropy(forward(x), labels)
        loss.backward()
        sgd.step()
        return float(loss.item())

    def answer() -> Array:
        net.eval()
        with torch.inference_mode():
            loss = functional.cross_entropy(net[:-1](x), labels)
        net.train()
        return np.asarray(loss.item())

    return step, lambda: _state(net), answer


def inference(variant: str, model: Sequential, x: Array) -> dict[str, Mode]:
    """Probabilities by mode, under inference_mode; `answer` is the same."""
    modes = {}
    for layout, (net, images) in _layouts(variant, model, x).items():
        net.eval()
        for name, forward in {f"torch{layout}": net, f"torch compiled{layout}": torch.compile(net)}.items():
            modes[name] = Mode(*_inference(net, forward, images))
    return modes


def _inference(net: Any, forward: Any, x: Any) -> tuple[Any, Any, Any]:
    def run() -> Any:
        with torch.inference_mode():
            return forward(x)

    return run, lambda: _state(net), lambda: run().numpy()


def _layouts(variant: str, model: Sequential, x: Array) -> dict[str, tuple[Any, Any]]:
    """The network and the images in each memory layout, on copies of our weights."""
    torch._dynamo.reset()  # else a third shape makes it compile for any shape, which is slower
    nchw = network(variant, model, copy=True, dropout=Drawn)
    nets = {"": nchw, " channels_last": copy.deepcopy(nchw).to(memory_format=torch.channels_last)}
    return {
        name: (nets[name], torch.from_numpy(x).contiguous(memory_format=layout)) for name, layout in LAYOUTS.items()
    }


def _state(net: Any) -> dict[str, Array]:
    return {name: np.ascontiguousarray(t.detach().numpy()) for name, t in net.state_dict().items()}


def set_threads(n: int) -> None:
    torch.set_num_threads(n)


def wake() -> None:
    """Have all of PyTorch's threads awake, as they are in the middle of a step."""
    for _ in range(5):
        torch.softmax(_SMALL, 1)


_SMALL = torch.zeros(128, 1000)
