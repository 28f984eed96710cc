"""The update at the end of a stage's backward: one parameter's, by its bound kernel."""

from typing import Any

from ..layers import Layer
from ..operation import Spec
from ..ops import sgd_momentum_
from .arena import Buffer
from .bound import Bound, Repeated


class Update:
    """`sgd_momentum_` for a layer's parameter called `key`, from the gradient in a buffer; update(lr).

    name  the layer's in the network
    sgd   the optimizer, see train.SGD: it has the velocity, and rules for biases
    """

    def __init__(self, name: str, layer: Layer, key: str, gradient: Buffer, sgd: Any) -> None:
        self.name, self.layer, self.key, self.gradient, self.sgd = f"{name}.{key}", layer, key, gradient, sgd
        of = Spec(gradient.shape, gradient.dtype)
        self.step = Repeated(Bound(sgd_momentum_, of, of, of, **sgd.rates(key, 0.0)))

    def __call__(self, lr: float) -> None:
        arrays = self.layer.params[self.key], self.sgd.velocity[self.name], self.gradient.array
        self.step(*arrays, dynamic=(self.sgd.rates(self.key, lr)["lr"],))
