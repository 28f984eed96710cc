"""A fixed schedule: the stages of a network for one shape of batch, with their buffers laid out in one arena."""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from math import isfinite
from typing import Any

import numpy as np

from ..backend import BACKENDS, Array
from ..layers import Dropout, Flatten, Layer, Softmax
from ..network import Sequential
from ..operation import Spec
from ..ops import softmax_cross_entropy, softmax_cross_entropy_backward
from ..parallel import threads
from .arena import Arena, Buffer
from .bound import Bound
from .layer_stage import FlattenStage, LayerStage
from .stage import Moments, Stage, spec


class Schedule:
    """Stages in order; with an optimizer also their backward in reverse order, after the loss.

    nbytes   of the arena, known before anything is allocated
    beside   bytes of other arrays that it has: none
    stale    whether it must be made anew: never
    workers  the most threads that it has room for
    """

    beside, stale = 0, False

    def __init__(self, model: Sequential, x: Spec, sgd: Any) -> None:
        self.model, self.workers, self.training = model, threads(), sgd is not None
        self.x = Buffer("x", x.shape, x.dtype, "first")
        self.stages = list(stages(model, self.x, sgd))
        self.few = next((module.Few() for module in _modules() if hasattr(module, "Few")), None)
        self.arena, last = Arena(), len(self.stages)
        begin = next((i for i, stage in enumerate(self.stages) if any(map(stage.trained, stage.params()))), last)
        gradient: Buffer | None = None
        for i, stage in enumerate(self.stages):
            stage.dx = gradient
            if i >= begin:
                stage.dy = gradient = stage.gradient(self.arena)
        for i, stage in enumerate(self.stages):
            stage.reserve(self.arena, Moments(i, 2 * last - i if i >= begin else None), self.workers)
        self.begin = begin
        self.y = self.stages[-1].y.touch(last)
        if self.training:
            self._reserve_loss(gradient, last)
        self.arena.lay_out()

    def _reserve_loss(self, dlogits: Buffer | None, moment: int) -> None:
        assert dlogits
        labels = Spec((self.x.shape[0],), np.dtype(np.int64))
        self.loss = Bound(softmax_cross_entropy, spec(self.y), labels)
        loss, probs = self.loss.outputs
        self.loss_value = self.arena.buffer("loss", loss.shape, loss.dtype).touch(moment)
        self.probs = self.arena.buffer("probs", probs.shape, probs.dtype).touch(moment)
        self.loss_backward = Bound(softmax_cross_entropy_backward, probs, labels)
        self.dlogits = dlogits.touch(moment)

    @property
    def nbytes(self) -> int:
        return self.arena.nbytes

    def forward(self, x: Array) -> Array:
        """What the last stage makes of x: an array in the arena."""
        if self.y.array is None:
            self.arena.allocate()
        self.x.hold(x)
        if not self.training and len(x) < threads() and self.few is not None:
            self.few(self.stages)
        else:
            for stage in self.stages:
                stage.forward(self.training)
        return self.y.array

    def step(self, x: Array, labels: Array, lr: float, ahead: Any = None) -> float:
        """One training step; its loss. Where that is not finite, nothing is updated. `ahead`: nothing to copy here."""
        self.forward(x)
        loss = self.loss_of(labels)
        if isfinite(loss):
            self.backward(labels, lr)
        return loss

    def predict(self, x: Array, logits: bool) -> Array:
        y = self.forward(x)
        return (self.logits if logits else y).copy()

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """Its stages, to be shown: layers, shape, kernels."""
        return [(stage.name, " × ".join(map(str, stage.y.shape)), stage.kernels) for stage in self.stages]

    @property
    def logits(self) -> Array:
        """What the last forward put into a Softmax at the end; its output where there is none."""
        *_, layer = self.model.values()
        return (self.stages[-1].x if isinstance(layer, Softmax) and not self.training else self.y).array

    def loss_of(self, labels: Array) -> float:
        """The loss of the last forward, and probabilities beside it."""
        out = self.loss_value.array, self.probs.array
        self.loss(self.y.array, labels, out=out)
        return float(self.loss_value.array)

    def backward(self, labels: Array, lr: float) -> None:
        """Every gradient and update, from the last loss."""
        self.loss_backward(self.probs.array, labels, out=(self.dlogits.array,))
        for stage in reversed(self.stages[self.begin :]):
            stage.backward(lr)


def stages(model: Sequential, x: Buffer, sgd: Any) -> Iterator[Stage]:
    """The stages of a network for the input x. A backend's own come first.

    Training leaves out a Softmax at the end, prediction every Dropout that has nothing to do then.
    """
    rest = list(model.items())
    if sgd is not None and isinstance(rest[-1][1], Softmax):
        rest.pop()
    if sgd is None:
        rest = [(name, layer) for name, layer in rest if not _idle(layer)] or rest
    offers = list(_offers())
    while rest or x.layout == "last":
        stage = next((made for offer in offers if (made := offer(rest, x, sgd)) is not None), None)
        if stage is None:
            name, layer = rest[0]
            stage = (FlattenStage if isinstance(layer, Flatten) else LayerStage)(name, layer, x, sgd)  # type: ignore[arg-type]
        yield stage
        del rest[: len(stage.layers)]
        x = stage.y


def _idle(layer: Layer) -> bool:
    """Whether it passes its input on when it predicts."""
    return isinstance(layer, Dropout) and layer.options["scale_at_train"]


def _offers() -> Iterator[Any]:
    """`stage(rest, x, sgd)` of every backend with fused stages: the next one, or None where it has none for that."""
    return (module.stage for module in _modules())


def _modules() -> Iterator[Any]:
    """What backends have for plans. With few = Few(), few(stages) is a forward of fewer images than threads."""
    for backend in BACKENDS.values():
        module = f"alexnet_np.kernels.stages.{backend.bodies}"
        mine = backend.name == backend.bodies and find_spec("alexnet_np.kernels.stages") and find_spec(module)
        if mine and backend.missing() is None:
            yield import_module(module)
