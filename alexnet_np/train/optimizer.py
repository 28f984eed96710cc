"""Stochastic gradient descent by the paper's rule, over the parameters of a network that are trained."""

from collections.abc import Iterator, Sequence

from .. import ops
from ..backend import PAGE, Array, array_module, device_of, paged
from ..layers import Layer
from ..network import Sequential


class SGD:
    """Holds a velocity for each parameter, under the parameter's name; see ops.sgd_momentum_.

    bias_lr, bias_decay  factors for biases: Caffe trains them at twice the learning rate and lets none decay
    freeze               layers that stay as they are: names, or a range 'conv1..conv5'

    Raises ValueError for a layer that the network does not have, and where none is left to train.
    """

    def __init__(
        self,
        model: Sequential,
        momentum: float = 0.9,
        weight_decay: float = 0.0005,
        *,
        bias_lr: float = 1.0,
        bias_decay: float = 1.0,
        freeze: Sequence[str] = (),
    ) -> None:
        self.model, self.momentum, self.weight_decay = model, momentum, weight_decay
        self.bias_lr, self.bias_decay = bias_lr, bias_decay
        self.frozen = named_layers(model, freeze)
        trained = [name for name in weighted(model) if name not in self.frozen]
        if not trained:
            raise ValueError(f"freeze {' '.join(freeze)} leaves no layer to train")
        self.first = trained[0]
        """the first layer whose gradients are needed"""
        self.velocity: dict[str, Array] = {name: _at_rest(layer.params[key]) for name, layer, key in self.trained()}

    def trained(self) -> Iterator[tuple[str, Layer, str]]:
        """As model.parameters(), without those of frozen layers."""
        return (p for p in self.model.parameters() if p[0].rpartition(".")[0] not in self.frozen)

    def step(self, lr: float) -> None:
        """Update every parameter from the gradients of the last backward."""
        for name, layer, key in self.trained():
            ops.sgd_momentum_(layer.params[key], self.velocity[name], layer.grads[key], **self.rates(key, lr))
        if self.model.home is not None:
            self.model.home.refresh()

    def rates(self, key: str, lr: float) -> dict[str, float]:
        """The keywords of ops.sgd_momentum_ for a layer's parameter called `key`, in a step at learning rate lr."""
        factor, decay = (self.bias_lr, self.bias_decay) if key == "bias" else (1.0, 1.0)
        return {"lr": lr * factor, "momentum": self.momentum, "weight_decay": self.weight_decay * decay}


def _at_rest(weights: Array) -> Array:
    """A velocity of zeros, half a page away from where its weights begin: in other sets of the first cache."""
    if device_of(weights) == "cpu":
        return paged(weights.shape, weights.dtype, PAGE // 2)
    return array_module(weights).zeros_like(weights)


def weighted(model: Sequential) -> list[str]:
    """The names of the layers with parameters."""
    return [name for name, layer in model.items() if layer.param_specs()]


def named_layers(model: Sequential, names: Sequence[str]) -> set[str]:
    """The layers with parameters that names and ranges name: 'conv1..conv5' goes through the network's order."""
    known, found = weighted(model), set()
    for name in names:
        first, dots, last = name.partition("..")
        for end in (first, last) if dots else (first,):
            if end not in known:
                raise ValueError(f"there is no layer {end!r} to freeze; those with weights are {', '.join(known)}")
        start, stop = known.index(first), known.index(last if dots else first)
        if start > stop:
            raise ValueError(f"{name} runs backwards: {last} comes before {first}")
        found |= set(known[start : stop + 1])
    return found
