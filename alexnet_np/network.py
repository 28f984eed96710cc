"""Sequential: named layers in order, and the summary that print() shows."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from .backend import Array, brought, device_of
from .layers import Dropout, Layer, Softmax, Weighted
from .operation import Cost, Spec
from .recording import BUDGET, NAMES, Recording


class Sequential(Mapping[str, Layer]):
    """An ordered mapping from names to layers.

    `for name, layer in model.items(): x = layer.forward(x)` is the same as `model.forward(x)`.

    input_shape  (C, H, W) of an image, for the summary; None where it is not known
    seed         of the dropout masks
    title        what the summary calls the network
    """

    def __init__(
        self,
        layers: Mapping[str, Layer] | Iterable[tuple[str, Layer]],
        *,
        input_shape: tuple[int, int, int] | None = None,
        seed: int = 0,
        title: str = "Sequential",
    ) -> None:
        pairs = list(layers.items() if isinstance(layers, Mapping) else layers)
        self._layers: dict[str, Layer] = dict(pairs)
        if len(self._layers) != len(pairs) or not pairs:
            raise ValueError("a network needs at least one layer, and every layer a name of its own")
        for name, layer in pairs:
            if not isinstance(layer, Layer) or not isinstance(name, str):
                raise TypeError(f"a network is made of names and layers, got {name!r}: {layer!r}")
        if len({id(layer) for _, layer in pairs}) != len(pairs):
            raise ValueError("a layer stands in the network twice; it has one cache, so it can stand in one place")
        self.input_shape, self.title = input_shape, title
        self.recording: Recording | None = None  # the last one
        for index, layer in enumerate(self._layers.values()):
            if isinstance(layer, Dropout):
                layer.seed, layer.index = seed, index
        self.iteration = 0
        self.home: Any = None  # where a plan on a GPU moved the parameters: plan/home.py

    def __getitem__(self, name: str) -> Layer:
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    @property
    def iteration(self) -> int:
        """The training step. Only a trainer advances it: with it, the dropout masks change."""
        return self._iteration

    @iteration.setter
    def iteration(self, value: int) -> None:
        self._iteration = value
        for layer in self.values():
            if isinstance(layer, Dropout):
                layer.iteration = value

    def forward(self, x: Array, train: bool = False, *, logits: bool = False) -> Array:
        """The output for the images x. `logits=True` leaves out a Softmax at the end, as training does.

        Raises TypeError or ValueError where x does not fit; the message begins with the layer's name.
        """
        for name, layer in self.items():
            if logits and layer is self._last_softmax():
                layer.cache = None
                break
            with _named(name):
                x = layer.forward(x, train)
        return x

    def backward(self, dy: Array, *, need_dx: bool = True, until: str | None = None) -> Array | None:
        """Every layer's gradients, and the gradient of the input, which `need_dx=False` saves.

        Goes through the layers of the last training forward: a Softmax that it left out is left out here. `until` names
        the last layer to go through, for a network whose first layers stay as they are: the result is then the
        gradient of that layer's input.
        """
        layers = list(self.items())
        if len(layers) > 1 and layers[-1][1] is self._last_softmax() and layers[-1][1].cache is None:
            layers.pop()
        start = 0 if until is None else [name for name, _ in layers].index(until)
        for _, layer in layers[:start]:
            layer.cache = None
        (name, first), *rest = layers[start:]
        for of, layer in reversed(rest):
            with _named(of):
                dy = layer.backward(dy)
        with _named(name):
            if not need_dx and isinstance(first, Weighted):
                return first.backward(dy, need_dx=False)
            return first.backward(dy)

    def record(
        self, layers: Iterable[str] | None = None, names: Iterable[str] = NAMES, budget: int = BUDGET
    ) -> Recording:
        """Keep what goes through the layers inside a with-block; see recording.py.

        layers: all unless named. names: which arrays of each. budget: bytes that they may take, MemoryError beyond.
        Raises ValueError for an unknown layer or name.
        """
        return Recording(self, layers, names, budget)

    def _last_softmax(self) -> Layer | None:
        last = list(self.values())[-1]
        return last if isinstance(last, Softmax) else None

    def parameters(self) -> Iterator[tuple[str, Layer, str]]:
        """(full name, layer, name within the layer) of every parameter: ('conv1.weight', …, 'weight')."""
        for name, layer in self.items():
            for key in layer.param_specs():
                yield f"{name}.{key}", layer, key

    def state_dict(self) -> dict[str, Array]:
        """Every parameter under 'conv1.weight', 'conv1.bias', …; the arrays themselves, not copies."""
        return {name: layer.params[key] for name, layer, key in self.parameters()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Copy parameters in. Raises ValueError or TypeError, and changes nothing, where one does not fit."""
        specs = {name: layer.param_specs()[key] for name, layer, key in self.parameters()}
        if missing := sorted(specs.keys() - state.keys()):
            raise ValueError(f"the state lacks {', '.join(missing)}")
        if unknown := sorted(state.keys() - specs.keys()):
            raise ValueError(f"the state has unknown {', '.join(unknown)}; this network has {', '.join(specs)}")
        for name, spec in specs.items():
            if device_of(state[name]) is None or state[name].dtype.kind not in "fiu":
                kind = getattr(state[name], "dtype", type(state[name]).__name__)
                raise TypeError(f"{name} must be an array of numbers, got {kind}")
            if tuple(state[name].shape) != spec.shape:
                raise ValueError(f"{name} has shape {tuple(state[name].shape)}, this network needs {spec.shape}")
        for name, layer, key in self.parameters():
            layer.params[key][...] = brought(state[name], device_of(layer.params[key]) or "cpu")
        if self.home is not None:
            self.home.refresh()

    def specs(self, batch: int = 1) -> dict[str, tuple[Spec, ...]]:
        """Specs of every layer's outputs for a batch of images of `input_shape`."""
        return {name: layer.infer(x) for name, layer, x in self._walk(batch)}

    def costs(self, batch: int = 1) -> dict[str, Cost]:
        """What every layer's forward pass costs for a batch of images of `input_shape`."""
        return {name: layer.cost(x) for name, layer, x in self._walk(batch)}

    def _walk(self, batch: int) -> Iterator[tuple[str, Layer, Spec]]:
        if self.input_shape is None:
            raise ValueError("this network was made without input_shape, so its shapes are not known")
        dtypes = [spec.dtype for layer in self.values() for spec in layer.param_specs().values()]
        x = Spec((batch, *self.input_shape), dtypes[0] if dtypes else np.dtype(np.float32))
        for name, layer in self.items():
            yield name, layer, x
            x = layer.infer(x)[0]

    def __repr__(self) -> str:
        return self.summary() if self.input_shape else f"{self.title}({', '.join(self)})"

    def summary(self) -> str:
        """Layer, output shape, parameters, multiply-adds and memory of a forward pass on one image, as a table.

        Memory is what the layer's outputs take, those included that it keeps for the backward.
        """
        outputs, costs = self.specs(), self.costs()
        rows = [("layer", "", "output", "parameters", "multiply-adds", "memory")]
        total = [0, 0, 0]
        for name, layer in self.items():
            weights = sum(prod(spec.shape) for spec in layer.param_specs().values())
            products = costs[name].flops // 2 if weights else 0
            memory = sum(spec.nbytes for spec in outputs[name]) if costs[name].bytes else 0
            total = [a + b for a, b in zip(total, (weights, products, memory), strict=True)]
            shape = " × ".join(map(str, outputs[name][0].shape[1:]))
            rows.append((name, type(layer).__name__, shape, *_counts(weights, products, memory)))
        rows.append(("total", "", "", *_counts(*total)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(_align(cells, widths)) for cells in rows]
        rule = "─" * len(lines[0])
        image = " × ".join(map(str, self.input_shape or ()))
        return "\n".join([f"{self.title}, one image of {image}", lines[0], rule, *lines[1:-1], rule, lines[-1]])


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Errors of the block begin with the layer's name."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError) as error:
        raise type(error)(f"{name}: {error}") from error


def _counts(weights: int, products: int, memory: int) -> tuple[str, str, str]:
    shown = f"{weights:,}", f"{products:,}", f"{memory / 1024:,.0f} KiB"
    return tuple(text if value else "" for text, value in zip(shown, (weights, products, memory), strict=True))  # type: ignore[return-value]


def _align(cells: tuple[str, ...], widths: list[int]) -> list[str]:
    """Names to the left, numbers to the right."""
    return [cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))]
