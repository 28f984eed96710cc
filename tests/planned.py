"""Two networks with the same random parameters: one trained by a plan, one layer by layer."""

from collections.abc import Callable
from typing import Any

import numpy as np

import alexnet_np as anp
from alexnet_np.layers import Flatten, Layer, Linear
from alexnet_np.operation import Spec
from alexnet_np.train import SGD, train_step
from alexnet_np.train.recipe import Recipe

CLASSES = 7
LIMIT = {np.float64: 1e-12, np.float32: 2e-5}  # of an array's largest value
SIDE = {  # of the smallest images, or a little more, so that a last row belongs to no window
    "paper": 65, "caffe": 67, "caffenet": 68, "torchvision": 63, "torch": 67, "keras": 195, "cifar": 21, "fashion": 28,
    "mini": 15,
}  # fmt: skip


def variant(name: str, dtype: Any = np.float64, width: int = 24, side: int | None = None) -> anp.Sequential:
    """The variant on small images, with hidden layers of at most `width` features."""
    shape = (anp.VARIANTS[name].input_shape[0], *[side or SIDE[name]] * 2)
    layers, features = dict(anp.alexnet(name, CLASSES, dtype=dtype, input_shape=shape).items()), 0
    for of, layer in layers.items():
        if isinstance(layer, Linear):
            out, into = layer.shapes["weight"]
            layers[of] = Linear(features or into, min(width, out), dtype=dtype)
            features = min(width, out)
    return anp.Sequential(layers, input_shape=shape, seed=5)


def network(x: tuple[int, ...], *layers: Layer, dtype: Any = np.float64) -> anp.Sequential:
    """These layers in order, and a fully-connected one behind them, for images of shape x."""
    at, named = Spec((1, *x), np.dtype(dtype)), {}
    for i, layer in enumerate([*layers, Flatten()], 1):
        named[f"{type(layer).__name__.lower()}{i}"] = layer
        at = layer.infer(at)[0]
    named["fc"] = Linear(at.shape[1], CLASSES, dtype=dtype)
    return anp.Sequential(named, input_shape=x)  # type: ignore[arg-type]


class Twins:
    """`plan` trains `model`, `sgd` trains `eager`, on the same random batches."""

    def __init__(
        self, make: Callable[[], anp.Sequential], batch: int, recipe: Recipe | None = None, seed: int = 0
    ) -> None:
        self.random, self.recipe = np.random.default_rng(seed), recipe or Recipe(weight_decay=0.01)
        self.model, self.eager = make(), make()
        for name, array in self.eager.state_dict().items():
            array += 0.02 * self.random.standard_normal(array.shape)
            self.model.state_dict()[name][...] = array
        assert self.model.input_shape
        self.dtype, self.shape = array.dtype.type, (batch, *self.model.input_shape)
        self.plan = anp.Plan(self.model, self.shape, self.recipe)  # type: ignore[arg-type]
        rule = self.recipe
        self.sgd = SGD(
            self.eager, rule.momentum, rule.weight_decay, bias_lr=rule.bias_lr, bias_decay=rule.bias_decay,
            freeze=rule.freeze,
        )  # fmt: skip

    def batch(self) -> tuple[Any, Any]:
        x = self.random.standard_normal(self.shape).astype(self.dtype)
        return x, self.random.integers(0, CLASSES, self.shape[0])

    def step(self) -> dict[str, float]:
        """One step of both; how far each of its results is off, as a share of its largest value."""
        x, labels = self.batch()
        found = {"loss": self.plan.step(x, labels), **state(self.model, self.plan.sgd)}
        expected = {
            "loss": train_step(self.eager, self.sgd, x, labels, self.recipe.lr), **state(self.eager, self.sgd),
        }  # fmt: skip
        assert found.keys() == expected.keys() and self.model.iteration == self.eager.iteration
        return {name: off(found[name], expected[name]) for name in expected}

    def steps(self, count: int) -> None:
        """So many steps of both; every result must be the same, within rounding."""
        for number in range(1, count + 1):
            wrong = {name: f"{error:.1g}" for name, error in self.step().items() if error > LIMIT[self.dtype]}
            assert not wrong, f"step {number}: {wrong}"


def state(model: anp.Sequential, sgd: SGD) -> dict[str, Any]:
    """Parameters and velocities."""
    return {**model.state_dict(), **{f"velocity of {name}": v for name, v in sgd.velocity.items()}}


def off(found: Any, expected: Any) -> float:
    """The largest difference, as a share of the largest value; a NaN is beyond every limit."""
    difference, largest = np.abs(np.asarray(found) - expected).max(), np.abs(expected).max()
    share = float(difference / largest)
    return share if share == share else float("inf")
