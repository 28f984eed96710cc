"""A recording: the arrays that went through a network's layers in a step, forward and backward, kept to be looked at.

    with model.record() as rec:
        loss = rec.step(x, labels)
    rec["conv2", "dx"]

While it records, every chosen layer's `forward` and `backward` are wrapped; afterwards they are what they were. So a
network that is not recorded does nothing more than before. Layers that a plan runs are not seen.
"""

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from . import ops
from .backend import Array
from .layers import Layer

NAMES = ("x", "y", "dy", "dx", "weight", "bias", "dweight", "dbias")
BUDGET = 2 << 30


class Recording:
    """What a step left, by layer and name; the last one of each.

    `rec[layer, name]` is an array: x and y of the forward, dy and dx of the backward, and weight and bias and their
    gradients dweight and dbias, as they were then.

    seconds       how long each layer took, by (layer, "forward") and (layer, "backward")
    train         of each layer's last forward
    labels, loss  of `step`
    iteration     of the network, on which its dropout depends
    nbytes        that the arrays take
    """

    def __init__(self, model: Any, layers: Iterable[str] | None, names: Iterable[str], budget: int) -> None:
        self.model, self.layers, self.names = model, tuple(model if layers is None else layers), tuple(names)
        for layer in self.layers:
            if layer not in model:
                raise ValueError(f"the network has no layer {layer!r}; it has {', '.join(model)}")
        for name in self.names:
            if name not in NAMES:
                raise ValueError(f"{name!r} is nothing that a layer leaves; that is {', '.join(NAMES)}")
        self.budget, self.nbytes = budget, 0
        self.seconds: dict[tuple[str, str], float] = {}
        self.train: dict[str, bool] = {}
        self.labels: Array | None = None
        self.loss = float("nan")
        self.iteration = model.iteration
        self._arrays: dict[tuple[str, str], Array] = {}

    def __enter__(self) -> "Recording":
        for name in self.layers:
            layer = self.model[name]
            if "forward" in vars(layer):
                raise RuntimeError(f"{name} is recorded or timed already")
            layer.forward = self._forward(name, layer, layer.forward)
            layer.backward = self._backward(name, layer, layer.backward)
        self.model.recording = self
        return self

    def __exit__(self, *_: Any) -> None:
        for name in self.layers:
            del self.model[name].forward, self.model[name].backward

    def step(self, x: Array, labels: Array) -> float:
        """Forward as in training, the loss, and backward down to the images; no update. Returns the loss.

        Raises what the layers raise, and ValueError or TypeError for labels that do not fit.
        """
        logits = self.model.forward(x, train=True, logits=True)
        loss, probs = ops.softmax_cross_entropy(logits, labels)
        self.labels, self.loss = labels.copy(), float(loss)
        self.model.backward(ops.softmax_cross_entropy_backward(probs, labels))
        return self.loss

    def __getitem__(self, key: tuple[str, str]) -> Array:
        if key not in self._arrays:
            layer, name = key
            held = sorted(name for of, name in self._arrays if of == layer)
            raise KeyError(f"{name} of {layer} was not recorded; of {layer} there is {', '.join(held) or 'nothing'}")
        return self._arrays[key]

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._arrays

    def _forward(self, name: str, layer: Layer, run: Callable[..., Array]) -> Callable[..., Array]:
        def forward(x: Array, train: bool = False) -> Array:
            began = perf_counter()
            y = run(x, train)
            self.seconds[name, "forward"] = perf_counter() - began
            self.train[name], self.iteration = train, self.model.iteration
            # The caller may use the memory of the images again, and an update changes the weights.
            self._keep(name, x=x.copy() if name == next(iter(self.model)) else x, y=y)
            self._keep(name, **{key: value.copy() for key, value in layer.params.items() if key in self.names})
            return y

        return forward

    def _backward(self, name: str, layer: Layer, run: Callable[..., Array | None]) -> Callable[..., Array | None]:
        def backward(dy: Array, **options: Any) -> Array | None:
            began = perf_counter()
            dx = run(dy, **options)
            self.seconds[name, "backward"] = perf_counter() - began
            self._keep(name, dy=dy, **({} if dx is None else {"dx": dx}))
            self._keep(name, **{f"d{key}": g.copy() for key, g in layer.grads.items() if f"d{key}" in self.names})
            return dx

        return backward

    def _keep(self, layer: str, **arrays: Array) -> None:
        """Raises MemoryError where it would be more than the budget."""
        self._arrays.update({(layer, name): array for name, array in arrays.items() if name in self.names})
        owners = {id(owner): owner.nbytes for owner in (a if a.base is None else a.base for a in self._arrays.values())}
        self.nbytes = sum(owners.values())
        if self.nbytes > self.budget:
            raise MemoryError(
                f"the recording takes {self.nbytes / 2**20:,.0f} MiB with {layer}, its budget is "
                f"{self.budget / 2**20:,.0f}; choose layers= or names= or a larger budget="
            )
