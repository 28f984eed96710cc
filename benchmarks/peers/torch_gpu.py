"""PyTorch on a GPU, at its default and at its best: eager and compiled, NCHW and channels_last, its precisions named.

float32 is strict: no TF32 anywhere. 'default' is what PyTorch does unless told otherwise: TF32 in convolutions, not in
linear layers. bfloat16 is autocast on float32 weights. Every mode has fused SGD; batches lie on the GPU already.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.nn import functional

from alexnet_np.backend import Array
from alexnet_np.network import Sequential

from ..gpu_clock import torch_events
from .torch_networks import Drawn, network

LAYOUTS = {"": torch.contiguous_format, " channels_last": torch.channels_last}
COMPILED = {"": None, " compiled": "default", " in graphs": "reduce-overhead"}
STEPS = 5  # between two events
DEVICE = "cuda"


@contextmanager
def precision_of(name: str) -> Iterator[None]:
    """PyTorch's switches for a precision of ours, and for 'default'."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    matmul.allow_tf32 = name.startswith("tf32")
    cudnn.allow_tf32 = name in ("default", "tf32")
    cudnn.benchmark = True
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


def modes(
    variant: str, model: Sequential, x: Array, labels: Array | None, precision: str
) -> dict[str, Callable[[], float]]:
    """Seconds of a training step, or of inference where there are no labels, by mode; each on weights of its own."""
    made = {}
    torch._dynamo.reset()
    net = network(variant, model, copy=True, dropout=Drawn).to(DEVICE)
    for layout, form in LAYOUTS.items():
        images = torch.from_numpy(x).to(DEVICE).contiguous(memory_format=form)
        for how, mode in COMPILED.items():
            mine = copy.deepcopy(net).to(memory_format=form)
            step = _step(mine, mode, images, labels, precision)
            made[f"torch{how}{layout}"] = _timed(step, precision)
    return made


def default(variant: str, model: Sequential, x: Array, labels: Array | None) -> dict[str, Callable[[], float]]:
    """The same as most people run it: eager, NCHW, TF32 where PyTorch takes it unasked."""
    net = network(variant, model, copy=True, dropout=Drawn).to(DEVICE)
    step = _step(net, None, torch.from_numpy(x).to(DEVICE), labels, "default")
    return {"torch default": _timed(step, "default")}


def _timed(step: Callable[[], object], precision: str) -> Callable[[], float]:
    def seconds() -> float:
        with precision_of(precision):
            return torch_events(lambda: [step() for _ in range(STEPS)]) / STEPS

    return seconds


def _step(net: Any, mode: str | None, x: Any, labels: Array | None, precision: str) -> Callable[[], object]:
    half = precision == "bfloat16"
    autocast = (lambda: torch.autocast(DEVICE, torch.bfloat16)) if half else nullcontext
    run = net[:-1] if labels is not None else net
    run = torch.compile(run, mode=mode) if mode else run
    if labels is None:
        net.eval()

        def predict() -> None:
            with torch.inference_mode(), autocast():
                run(x)

        return predict
    net.train()
    sgd = torch.optim.SGD(net.parameters(), 1e-4, momentum=0.9, weight_decay=5e-4, fused=True)
    target = torch.from_numpy(labels).to(DEVICE)

    def train() -> None:
        sgd.zero_grad()
        with autocast():
            loss = functional.cross_entropy(run(x), target)
        loss.backward()
        sgd.step()

    return train


def operation(
    op: str, arrays: tuple[Array, ...], keywords: dict[str, Any], precision: str
) -> Callable[[], float] | None:
    """Seconds of PyTorch's call of a convolution's or linear layer's product, cuDNN's or cuBLAS's; None for others."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    tensors = [torch.from_numpy(a).to(DEVICE, dtype) for a in arrays]
    if op.startswith("conv2d"):
        (top, bottom), (left, right) = keywords["padding"]
        if (top, left) != (bottom, right):
            return None  # PyTorch pads both sides alike
        options = {"stride": keywords["stride"], "padding": (top, left), "groups": keywords["groups"]}
        first, second, *bias = tensors
        calls = {
            "conv2d": lambda: functional.conv2d(first, second, bias[0], **options),
            "conv2d_backward_data": lambda: torch.nn.grad.conv2d_input(keywords["x_shape"], second, first, **options),
            "conv2d_backward_weights": lambda: torch.nn.grad.conv2d_weight(
                second, keywords["w_shape"], first, **options
            ),
        }
    else:
        first, second = tensors[:2]
        calls = {
            "linear": lambda: functional.linear(*tensors),
            "linear_backward_data": lambda: first @ second,
            "linear_backward_weights": lambda: first.T @ second,
        }
    if op not in calls:
        return None
    return _timed(calls[op], precision)
