"""Plan: a network's whole step for one shape of batch, laid out once and then run without allocating."""

from contextvars import copy_context
from math import isfinite
from typing import Any

import numpy as np

from ..backend import Array, device_of
from ..network import Sequential
from ..operation import Spec
from ..ops import checks
from ..parallel import threads
from .schedule import Schedule


class Plan:
    """Training steps and predictions of `model` for batches of shape (N, C, H, W).

        plan = anp.Plan(model, (128, 3, 224, 224))
        loss = plan.step(x, labels)
        probabilities = plan.predict(x)

    The same numbers as the network's own forward and backward with ops.softmax_cross_entropy and train.SGD.step, within
    the rounding of the kernels; print(plan) shows which those are. They are chosen when the plan is made, so `use()`
    applies there. Parameters are the network's own arrays, updated in place.

    recipe  a train.Recipe: learning rate, momentum, weight decay, their rules for biases, frozen layers
    seed    of the dropout masks; None: the network's own
    sgd     a train.SGD whose velocity is used in place of a new one; its rules then count in place of the recipe's

    Memory is taken when it is first needed: `memory` tells beforehand how much.
    Raises ValueError or TypeError where the shape does not fit the network.
    """

    def __init__(
        self,
        model: Sequential,
        shape: tuple[int, int, int, int],
        recipe: Any = None,
        seed: int | None = None,
        *,
        sgd: Any = None,
    ) -> None:
        from ..layers import Dropout
        from ..train.checkpoint import optimizer
        from ..train.recipe import Recipe

        self.model, self.shape = model, tuple(shape)
        self.recipe = recipe or Recipe()
        params = model.state_dict()
        dtype = next(iter(params.values())).dtype if params else np.dtype(np.float32)
        self.x = Spec(self.shape, dtype)
        check = self.x
        for layer in model.values():
            check = layer.infer(check)[0]
        if seed is not None:
            for layer in model.values():
                if isinstance(layer, Dropout):
                    layer.seed = seed
        self.sgd = sgd or optimizer(model, self.recipe)
        self._made: dict[bool, Schedule] = {}
        self._chosen = copy_context()  # what `use()` says now, for when a schedule is made

    def step(self, x: Array, labels: Array, lr: float | None = None) -> float:
        """One training step on images x (N, C, H, W) and labels (N,); returns the loss before the update.

        lr: the recipe's unless given. Raises ValueError or TypeError for arrays of another shape or dtype, for labels
        out of range and for an lr that is no finite number from 0, and NotFinite where the loss is not finite: all
        before any update.
        """
        self._check(x)
        schedule = self._schedule(True)
        if not isinstance(labels, np.ndarray) or labels.shape != self.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(f"labels must be {self.shape[0]} integers, got {_told(labels)}")
        lr = self.recipe.lr if lr is None else lr
        checks.number("lr", lr, 0)
        with np.errstate(over="ignore", invalid="ignore"):  # the loss is looked at instead
            schedule.forward(x)
            loss = schedule.loss_of(labels)
            if not isfinite(loss):
                from ..train.finite import NotFinite, where_it_began

                raise NotFinite(where_it_began(self.model, x, loss))
            schedule.backward(labels, lr)
        self.model.iteration += 1
        return loss

    def predict(self, x: Array, *, logits: bool = False) -> Array:
        """The network's output without dropout for images x (N, C, H, W): probabilities (N, K).

        logits: what goes into a Softmax at the end instead, as in the network's own forward.
        Raises ValueError or TypeError for an array of another shape or dtype.
        """
        self._check(x)
        schedule = self._schedule(False)
        y = schedule.forward(x)
        return (schedule.logits if logits else y).copy()

    @property
    def memory(self) -> int:
        """Bytes that training takes: parameters, their velocity, and the arena."""
        arrays = [*self.model.state_dict().values(), *self.sgd.velocity.values()]
        return sum(int(array.nbytes) for array in arrays) + self._schedule(True).nbytes

    @property
    def schedule(self) -> Schedule:
        """Its training steps, laid out."""
        return self._schedule(True)

    def _schedule(self, training: bool) -> Schedule:
        made = self._made.get(training)
        if made is None or made.workers < threads():
            sgd = self.sgd if training else None
            self._made[training] = made = self._chosen.copy().run(Schedule, self.model, self.x, sgd)
        return made

    def _check(self, x: Array) -> None:
        if device_of(x) is None:
            raise TypeError(f"x must be an array, got {type(x).__name__}")
        if x.shape != self.shape or x.dtype != self.x.dtype:
            raise ValueError(f"x must be {self.x.dtype} {self.shape}, got {_told(x)}")
        if not x.flags.c_contiguous:
            raise ValueError(f"x must be C-contiguous, got strides {x.strides}; use np.ascontiguousarray")

    def __str__(self) -> str:
        """The stages, their kernels, and what the arena takes."""
        schedule = self._schedule(True)
        rows = [(stage.name, " × ".join(map(str, stage.y.shape)), stage.kernels) for stage in schedule.stages]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        memory = f"{schedule.nbytes / 2**20:,.0f} MiB in one arena, {self.memory / 2**20:,.0f} in all"
        return "\n".join([*lines, memory])


def _told(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if hasattr(value, "dtype") else type(value).__name__
