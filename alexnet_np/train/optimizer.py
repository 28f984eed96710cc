"""Stochastic gradient descent by the paper's rule, over all parameters of a network."""

from .. import ops
from ..backend import Array, array_module
from ..network import Sequential


class SGD:
    """Holds a velocity for each parameter, under the parameter's name; see ops.sgd_momentum_."""

    def __init__(self, model: Sequential, momentum: float = 0.9, weight_decay: float = 0.0005) -> None:
        self.model, self.momentum, self.weight_decay = model, momentum, weight_decay
        self.velocity: dict[str, Array] = {n: array_module(p).zeros_like(p) for n, p in model.state_dict().items()}

    def step(self, lr: float) -> None:
        """Update every parameter from the gradients of the last backward."""
        for name, layer, key in self.model.parameters():
            ops.sgd_momentum_(
                layer.params[key],
                self.velocity[name],
                layer.grads[key],
                lr=lr,
                momentum=self.momentum,
                weight_decay=self.weight_decay,
            )
