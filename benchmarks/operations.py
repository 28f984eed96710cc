"""How long each operation of a network takes on every backend that can run here.

Kernels of one operation run in turns, so that a change in the machine's speed meets all of them; the table shows
medians, and the rate of arithmetic or of memory traffic at the least count that the operation needs.
"""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from alexnet_np.backend import BEST
from alexnet_np.dispatch import OPS, Op, use
from alexnet_np.layers import Flatten, Layer
from alexnet_np.network import Sequential
from alexnet_np.ops.cases import named_outputs, wire


class Timing(NamedTuple):
    """Median seconds of an operation in a layer, by backend."""

    layer: str
    op: str
    flops: int
    bytes: int
    seconds: dict[str, float]


def calls(model: Sequential, batch: int, seed: int = 0) -> Iterator[tuple[str, Op, tuple[Any, ...], dict[str, Any]]]:
    """(layer, operation, arrays, keywords) of every forward and backward call of a step, on random activations."""
    random = np.random.default_rng(seed)
    shape: tuple[int, ...] = model.input_shape or ()
    for name, layer in model.items():
        if isinstance(layer, Flatten):
            shape = (int(np.prod(shape)),)
            continue
        x = random.standard_normal((batch, *shape)).astype(np.float32)
        inputs = dict(zip(layer.op.inputs, (x, *layer.params.values()), strict=True))
        keywords = {**layer.options, **_key(layer)}
        outputs = named_outputs(layer.op, layer.op(*inputs.values(), **keywords))
        yield name, layer.op, tuple(inputs.values()), keywords
        upstream = random.standard_normal(outputs["y"].shape).astype(np.float32)
        for backward in layer.op.backward:
            yield name, OPS[backward], *wire(OPS[backward], inputs, outputs, keywords, upstream)
        shape = outputs["y"].shape[1:]


def _key(layer: Layer) -> dict[str, Any]:
    return {"key": getattr(layer, "key", None)} if "key" in layer.op.keywords else {}


def time_operations(model: Sequential, batch: int, runs: int = 5) -> list[Timing]:
    """Time every operation of a training step of `model`, each kernel once for warming up and `runs` times in turns."""
    table = []
    for name, op, arrays, keywords in calls(model, batch):
        backends = [key for key in BEST["cpu"] if op.refusal(key) is None]  # emulators are for checking
        taken: dict[str, list[float]] = {key: [] for key in backends}
        for _ in range(runs + 1):
            for key in backends:
                with use(key):
                    began = time.perf_counter()
                    op(*arrays, **keywords)
                    taken[key].append(time.perf_counter() - began)
        cost = op.cost(*arrays, **keywords)
        table.append(Timing(name, op.name, *cost, {key: float(np.median(t[1:])) for key, t in taken.items()}))
    return table
