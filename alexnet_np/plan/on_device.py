"""A schedule for kernels in CUDA C++: a step is one tape of calls, with its update; on a GPU, one graph.

Everything that changes from step to step is read from arrays on the device: the batch, the learning rate, the keys of
the dropout layers. Where the loss is not finite, the update at the end of the tape changes nothing.
"""

from typing import Any

import numpy as np

from .. import ops
from ..backend import Array, brought, module_of
from ..layers import Dropout, Softmax
from ..network import Sequential
from ..operation import Spec
from ..ops import checks
from ..precision import dtype_of
from .arena import Buffer
from .chain import Chain, asked_apart
from .home import home_of
from .tape import Tape


class DeviceSchedule:
    """Training steps of a network where `sgd` is given, else predictions, for batches like `x`.

    device   'gpu', or 'cpu' for the emulator
    storage  the dtype of images, activations and the weights that a forward reads
    nbytes   of the arena, known before anything is allocated
    beside   bytes of what has arrays of its own: a batch, all gradients, the weights in bfloat16
    """

    workers = 1 << 30  # its kernels ask for no threads of ours

    def __init__(self, model: Sequential, x: Spec, sgd: Any, device: str, storage: str) -> None:
        self.model, self.device, self.xp = model, device, module_of(device)
        self.home = home_of(model, device)
        self.tape, dtype = Tape(device), dtype_of(storage)
        self.x = self.tape.fixed("x", self.xp.empty(x.shape, x.dtype))
        self.labels = self.tape.fixed("labels", self.xp.empty(x.shape[:1], np.int64))
        self.lr = self.xp.zeros(1, x.dtype)
        self.dropouts = [layer for layer in model.values() if isinstance(layer, Dropout)]
        self.keys = self.xp.zeros((max(1, len(self.dropouts)), 3), np.int64)
        stored, weights, gradients = self.home.store(dtype), {}, {}
        for name, shape in self.home.shapes.items():
            source = stored if len(shape) > 1 else self.home.weights  # a bias is float32 in every precision
            weights[name] = self.tape.fixed(name, self.home.view(source, name))
        if sgd is not None:
            flat = self.home.zeros()
            gradients = {n: self.tape.fixed(f"d{n}", self.home.view(flat, n)) for n in sgd.velocity}
        keys = dict(zip(map(id, self.dropouts), self.keys, strict=False))
        chain = Chain(self.tape, weights.__getitem__, gradients.get, lambda d: keys[id(d)], sgd is not None)
        layers = list(model.items())
        softmax = layers.pop() if isinstance(layers[-1][1], Softmax) else None
        self.tape.layers = "images"
        start = self.x if x.dtype == dtype else self.tape.call(ops.cast, self.x, dtype=storage)[0]
        self.logits = chain.forward(layers, start)
        self.y = self.logits
        if sgd is None:
            if softmax is not None:
                self.y = chain.forward([softmax], self.logits)
            self.tape.lay_out(self.y, self.logits)
        else:
            self._train(chain, sgd, flat, stored)
        own = [self.x.array, self.labels.array, *([flat] if sgd is not None else [])]
        own += [stored] if stored is not self.home.weights else []
        self.beside = sum(int(array.nbytes) for array in own)
        self._runner: Any = None

    def _train(self, chain: Chain, sgd: Any, gradient: Array, stored: Array) -> None:
        for whole in (ops.softmax_cross_entropy_with_gradient, ops.sgd_momentum_flat_):
            if asked := asked_apart(whole):
                raise ValueError(f"use() asks for {asked}, but this plan runs {whole.name} in its place")
        self.tape.layers = "loss"
        self.loss, dlogits = self.tape.call(ops.softmax_cross_entropy_with_gradient, self.logits, self.labels)
        chain.backward(dlogits)
        home, fixed, self.tape.layers = self.home, self.tape.fixed, "update"
        flat = [
            fixed("weights", home.weights),
            fixed("velocity", home.velocity(sgd)),
            fixed("gradient", gradient),
            fixed("factors", home.factors(sgd)),
            self.loss,
        ]
        rates = {"lr": self.lr, "momentum": sgd.momentum, "weight_decay": sgd.weight_decay}
        if stored is home.weights:
            self.tape.call(ops.sgd_momentum_flat_, *flat, **rates)
        else:
            self.tape.call(ops.sgd_momentum_mixed_, *flat, out=(fixed("stored", stored),), **rates)
        self.tape.lay_out(self.loss)

    @property
    def stale(self) -> bool:
        """Whether the network's parameters are others by now than those that it reads."""
        return self.model.home is not self.home or not self.home.is_lived_in()

    @property
    def nbytes(self) -> int:
        return self.tape.arena.nbytes

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """Its calls, to be shown: layers, operation, shape, kernel."""
        return self.tape.rows

    def step(self, x: Array, labels: Array, lr: float, ahead: tuple[Array, Array] | None = None) -> float:
        """One training step; its loss. `ahead` is copied to the device meanwhile, for the next."""
        for each in (labels, *([ahead[1]] if ahead else [])):
            checks.below("labels", each, self.logits.shape[1], "the classes")
        keys = np.array([d.key for d in self.dropouts] or [(0, 0, 0)], np.int64)
        scalars = (self.lr, np.full(1, lr, self.lr.dtype)), (self.keys, keys)
        following = (ahead[0], ahead[1].astype(np.int64)) if ahead else None
        self.runner.run(x, labels.astype(np.int64), scalars, following)
        return float(brought(self.loss.array, "cpu"))

    def predict(self, x: Array, logits: bool) -> Array:
        self.runner.run(x, None, (), None)
        return brought((self.logits if logits else self.y).array, "cpu").astype(self.x.dtype)

    @property
    def runner(self) -> Any:
        """What runs the tape; with it, the memory is taken."""
        if self._runner is None:
            self.tape.arena.allocate(self.device)
            if self.device == "gpu":
                from .streams import Streams

                self._runner = Streams(self.tape, self.x, self.labels)
            else:
                self._runner = Here(self.tape, self.x, self.labels)
        return self._runner


class Here:
    """Runs a tape where the host's arrays are: for the emulator."""

    def __init__(self, tape: Tape, x: Buffer, labels: Buffer) -> None:
        self.tape, self.x, self.labels = tape, x, labels

    def run(self, x: Array, labels: Array | None, scalars: Any, ahead: Any) -> None:
        np.copyto(self.x.array, x)
        if labels is not None:
            np.copyto(self.labels.array, labels)
        for place, value in scalars:
            np.copyto(place, value)
        self.tape.run()
