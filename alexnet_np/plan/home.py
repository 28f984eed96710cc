"""Where a network's parameters live on a device: in one array, of which the layers' own are views.

So one launch updates them all, and what the layers, a checkpoint or a reader sees are the weights themselves.
"""

from math import prod
from typing import Any

from ..backend import Array, array_module, brought, module_of
from ..network import Sequential
from ..ops import cast
from ..ops.sgd_momentum_flat import BLOCK
from ..precision import is_bfloat16


class Home:
    """The parameters of `model` on a device ('cpu' or 'gpu'), each from a multiple of BLOCK on, zeros between them.

    weights  (n,), the network's dtype
    stored   (n,), the same as bfloat16, or None where nobody computes with that; `refresh` writes it
    places   from a parameter's full name to its part of them
    """

    def __init__(self, model: Sequential, device: str) -> None:
        self.model, self.device = model, device
        self.places: dict[str, slice] = {}
        self.shapes = {name: layer.params[key].shape for name, layer, key in model.parameters()}
        end = 0
        for name, shape in self.shapes.items():
            self.places[name] = slice(end, end + prod(shape))
            end += -(-prod(shape) // BLOCK) * BLOCK
        dtypes = {layer.params[key].dtype for _, layer, key in model.parameters()}
        if len(dtypes) != 1:
            raise TypeError(f"parameters of one dtype fit in an array, got {', '.join(map(str, dtypes)) or 'none'}")
        self.weights = module_of(device).zeros(end, dtypes.pop())
        self.stored: Array = None
        self._velocity: tuple[Any, Array] | None = None
        self.views: dict[str, Array] = {}
        for name, layer, key in model.parameters():
            view = self.view(self.weights, name)
            view[...] = brought(layer.params[key], device)
            layer.params[key] = self.views[name] = view
            layer.grads = {}

    def view(self, flat: Array, name: str) -> Array:
        """A parameter's part of an array that is laid out like `weights`."""
        return flat[self.places[name]].reshape(self.shapes[name])

    def is_lived_in(self) -> bool:
        """Whether the layers still have its views, and no other arrays."""
        return all(layer.params[key] is self.views[name] for name, layer, key in self.model.parameters())

    def zeros(self) -> Array:
        return array_module(self.weights).zeros_like(self.weights)

    def store(self, dtype: Any) -> Array:
        """What forward passes in this dtype read: `weights`, or their copy in bfloat16."""
        if not is_bfloat16(dtype):
            return self.weights
        if self.stored is None:
            self.stored = array_module(self.weights).empty(self.weights.shape, dtype)
            self.refresh()
        return self.stored

    def refresh(self) -> None:
        """Tell it that weights were changed by others than a plan's steps."""
        if self.stored is not None:
            cast(self.weights, dtype="bfloat16", out=self.stored)

    def velocity(self, sgd: Any) -> Array:
        """The optimizer's velocities in one array, of which its own become views."""
        if self._velocity is None or self._velocity[0] is not sgd:
            flat = self.zeros()
            for name, array in sgd.velocity.items():
                view = self.view(flat, name)
                view[...] = brought(array, self.device)
                sgd.velocity[name] = view
            self._velocity = sgd, flat
        return self._velocity[1]

    def factors(self, sgd: Any) -> Array:
        """(n / BLOCK, 2): of the learning rate and of the decay, 0 for what is not trained."""
        rates = module_of("cpu").zeros((self.weights.size // BLOCK, 2), self.weights.dtype)
        for name, place in self.places.items():
            if name in sgd.velocity:
                rate = sgd.rates(name.rpartition(".")[2], 1.0)
                decay = rate["weight_decay"] / sgd.weight_decay if sgd.weight_decay else 1.0
                rates[place.start // BLOCK : -(-place.stop // BLOCK)] = rate["lr"], decay
        return brought(rates, self.device)


def home_of(model: Sequential, device: str) -> Home:
    """The network's home on the device; it moves there where it is not, or was moved away from."""
    home: Home | None = model.home
    if home is None or home.device != device or not home.is_lived_in():
        home = model.home = Home(model, device)
    return home
