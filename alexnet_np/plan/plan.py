"""Plan: a network's whole step for one shape of batch, laid out once and then run without allocating."""

from collections import defaultdict
from contextvars import copy_context
from math import isfinite
from os import getpid
from threading import RLock
from typing import Any

import numpy as np

from ..backend import Array, device_of, native
from ..dispatch import NoKernel, default_backend
from ..network import Sequential
from ..operation import Spec
from ..ops import checks
from ..parallel import threads
from .on_device import DeviceSchedule
from .schedule import Schedule


class Plan:
    """Training steps and predictions of `model` for batches of shape (N, C, H, W).

        plan = anp.Plan(model, (128, 3, 224, 224))
        loss = plan.step(x, labels)
        probabilities = plan.predict(x)

    The same numbers as the network's own forward and backward with ops.softmax_cross_entropy and train.SGD.step, within
    the rounding of the kernels; print(plan) shows which those are. They are chosen when the plan is made, so `use()`
    applies there. Parameters are the network's own arrays, updated in place.

    recipe     a train.Recipe: learning rate, momentum, weight decay, their rules for biases, frozen layers
    seed       of the dropout masks; None: the network's own
    sgd        a train.SGD whose velocity is used in place of a new one; its rules then count in place of the recipe's
    precision  'bfloat16': images, activations and the weights that are read are stored so; for gpu_cuda and emu_cuda.
               The recipe's unless given

    Under use("gpu_cuda") or use("emu_cuda") the step is one tape of calls, on a GPU a CUDA graph. The parameters move
    there first: the layers' arrays are then views of one array on the device (plan/home.py). In bfloat16 a weight that
    was changed by hand is read once `model.home.refresh()` was called; steps and `load_state_dict` see to it.

    Memory is taken when it is first needed: `memory` tells beforehand how much. Threads that share a plan take turns.
    Raises ValueError or TypeError where the shape does not fit the network, NoKernel where the backend that is asked
    for cannot run here.
    """

    def __init__(
        self,
        model: Sequential,
        shape: tuple[int, int, int, int],
        recipe: Any = None,
        seed: int | None = None,
        *,
        sgd: Any = None,
        precision: str | None = None,
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
        asked = default_backend()
        self.backend = asked if asked and asked.bodies == "gpu_cuda" else None
        if self.backend and (why := self.backend.missing()):
            raise NoKernel(f"a plan on {self.backend.name} cannot run here: {why}")
        half = self.backend and self.recipe.precision == "bfloat16"
        self.precision = precision or ("bfloat16" if half else str(dtype))
        if self.precision != str(dtype) and not (self.backend and self.precision == "bfloat16"):
            where = "for gpu_cuda and emu_cuda" if self.precision == "bfloat16" else f"not that of {dtype} parameters"
            raise ValueError(f"precision {self.precision!r} is {where}")
        self._made: dict[bool, Any] = {}
        # By the process: in the child of a fork nobody would end the turn that a thread of the parent has.
        self._turns: defaultdict[int, RLock] = defaultdict(RLock)
        self._chosen = copy_context()  # what `use()` says now, for when a schedule is made

    def step(
        self, x: Array, labels: Array, lr: float | None = None, *, ahead: tuple[Array, Array] | None = None
    ) -> float:
        """One training step on images x (N, C, H, W) and labels (N,); returns the loss before the update.

        lr: the recipe's unless given. ahead: the next step's x and labels, which go to a GPU while this one runs, and
        stay as they are until then. Raises ValueError or TypeError for arrays of another shape or dtype, for labels
        out of range and for an lr that is no finite number from 0, and NotFinite where the loss is not finite: all
        before any update.
        """
        x = self._checked(x)
        for each in (labels, *([ahead[1]] if ahead else [])):
            if not isinstance(each, np.ndarray) or each.shape != self.shape[:1] or each.dtype.kind not in "iu":
                raise ValueError(f"labels must be {self.shape[0]} integers, got {_told(each)}")
        labels = native(labels)
        ahead = (self._checked(ahead[0]), native(ahead[1])) if ahead else None
        lr = self.recipe.lr if lr is None else lr
        checks.number("lr", lr, 0)
        with self._turns[getpid()], np.errstate(over="ignore", invalid="ignore"):  # the loss is looked at instead
            loss: float = self._schedule(True).step(x, labels, lr, ahead)
            if not isfinite(loss):
                from ..train.finite import NotFinite, where_it_began

                raise NotFinite(self._chosen.copy().run(where_it_began, self.model, x, loss))
            self.model.iteration += 1
        return loss

    def predict(self, x: Array, *, logits: bool = False) -> Array:
        """The network's output without dropout for images x (N, C, H, W): probabilities (N, K).

        logits: what goes into a Softmax at the end instead, as in the network's own forward.
        Raises ValueError or TypeError for an array of another shape or dtype.
        """
        x = self._checked(x)
        with self._turns[getpid()]:
            return self._schedule(False).predict(x, logits)

    @property
    def memory(self) -> int:
        """Bytes that training takes: parameters, their velocity, and the arena; on a GPU a batch and gradients too."""
        arrays = [*self.model.state_dict().values(), *self.sgd.velocity.values()]
        schedule = self._schedule(True)
        return sum(int(array.nbytes) for array in arrays) + int(schedule.nbytes) + int(schedule.beside)

    @property
    def schedule(self) -> Any:
        """Its training steps, laid out: a Schedule, or a DeviceSchedule for a GPU."""
        return self._schedule(True)

    def _schedule(self, training: bool) -> Any:
        made = self._made.get(training)
        if made is None or made.workers < threads() or made.stale:
            sgd = self.sgd if training else None
            self._made[training] = made = self._chosen.copy().run(self._lay_out, sgd)
        return made

    def _lay_out(self, sgd: Any) -> Any:
        if self.backend:
            return DeviceSchedule(self.model, self.x, sgd, self.backend.device, self.precision)
        return Schedule(self.model, self.x, sgd)

    def _checked(self, x: Array) -> Array:
        """The images, in the machine's byte order. Raises TypeError or ValueError where they do not fit the plan."""
        if device_of(x) is None:
            raise TypeError(f"x must be an array, got {type(x).__name__}")
        if device_of(x) != "cpu":
            raise TypeError("x must be a NumPy array: a plan copies each batch to the device itself")
        x = native(x)
        if x.shape != self.shape or x.dtype != self.x.dtype:
            raise ValueError(f"x must be {self.x.dtype} {self.shape}, got {_told(x)}")
        if not x.flags.c_contiguous:
            raise ValueError(f"x must be C-contiguous, got strides {x.strides}; use np.ascontiguousarray")
        return x

    def __str__(self) -> str:
        """The stages, their kernels, and what the arena takes."""
        schedule = self._schedule(True)
        rows = schedule.rows
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        memory = f"{schedule.nbytes / 2**20:,.0f} MiB in one arena, {self.memory / 2**20:,.0f} in all"
        return "\n".join([*lines, memory])


def _told(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if hasattr(value, "dtype") else type(value).__name__
