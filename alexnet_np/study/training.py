"""A short training on one image, layer by layer: how large activations, gradients and weights are, and how far each
step moves the weights."""

from math import isfinite

import numpy as np

from ..backend import Array
from ..network import Sequential
from ..train import SGD

STEPS, RATE, BUDGET = 6, 0.01, 8 << 30

Course = dict[str, list[float]]  # a number for each step, by what it is


def train(model: Sequential, x: Array, labels: Array, steps: int = STEPS, lr: float = RATE) -> dict[str, Course]:
    """Norms by layer, and ‖Δw‖ / ‖w‖, in each of some steps of SGD, which change the model's weights.

    Fewer steps where the loss is not finite any more.
    """
    sgd, found = SGD(model), dict[str, Course]()
    for _ in range(steps):
        with model.record(names=("y", "dx", "dweight"), budget=BUDGET) as recording:
            loss = recording.step(x, labels)
        if not isfinite(loss):
            break
        weights = {name: layer.params["weight"] for name, layer in model.items() if "weight" in layer.params}
        before = {name: w.copy() for name, w in weights.items()}
        sgd.step(lr)
        model.iteration += 1
        for name in model:
            of = found.setdefault(name, {})
            for what in ("y", "dx", "dweight"):
                if (name, what) in recording:
                    of.setdefault(f"‖{what}‖", []).append(_norm(recording[name, what]))
            if name in before:
                of.setdefault("‖w‖", []).append(_norm(before[name]))
                of.setdefault("‖Δw‖ / ‖w‖", []).append(
                    _norm(weights[name] - before[name]) / (_norm(before[name]) or 1.0)
                )
    return found


def _norm(array: Array) -> float:
    return float(np.linalg.norm(array.ravel()))
