"""How the learning rate goes on during training.

    constant   ε(t) = ε₀
    step       ε(t) = ε₀ · γ^d(t), with d the number of drops so far: by a list of epochs, each so many epochs or steps
    plateau    ε(t) = ε₀ · γ^d, with d growing by one when the held-out error has not fallen for `patience` epochs
    cosine     ε(t) = ε₀ · (1 + cos(π t / T)) / 2, for T steps in all

Steps t and epochs are counted from 0 here. Only plateau has a state; a checkpoint keeps it. Sources: plateau is the
paper's §5; step is Caffe's "step" and "multistep"; cosine is Loshchilov & Hutter 2017, eq. 5, without restarts.
"""

from dataclasses import dataclass
from math import cos, inf, pi
from typing import Any

from .recipe import Recipe
from .typed import typed


@dataclass
class Schedule:
    """A constant learning rate; the others say what they change."""

    initial: float

    def lr(self, step: int, epoch: int, steps: int) -> float:
        """The learning rate of a step, in an epoch, of `steps` in all."""
        return self.initial

    def epoch_ended(self, error: float) -> None:
        """Hear of the held-out error at the end of an epoch: the share of images whose class is not the first."""

    def state(self) -> dict[str, Any]:
        """What it must remember, for a checkpoint; numbers that JSON can hold."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state. Raises ValueError for what `state` never gives."""


@dataclass
class Step(Schedule):
    """ε₀ · γ^d: d counts the numbers in `drop` (epochs from 1) that are reached, and the whole periods behind."""

    gamma: float
    drop: tuple[int, ...] = ()
    drop_epochs: int | None = None
    drop_steps: int | None = None

    def lr(self, step: int, epoch: int, steps: int) -> float:
        drops = sum(epoch + 1 >= at for at in self.drop)
        drops += epoch // self.drop_epochs if self.drop_epochs else 0
        drops += step // self.drop_steps if self.drop_steps else 0
        return self.initial * self.gamma**drops


@dataclass
class Cosine(Schedule):
    """ε₀ · (1 + cos(π t / T)) / 2."""

    def lr(self, step: int, epoch: int, steps: int) -> float:
        return self.initial * (1 + cos(pi * step / steps)) / 2


@dataclass
class Plateau(Schedule):
    """ε₀ · γ^d. After an epoch with error e:

    e < best:   best ← e, waited ← 0
    else:       waited ← waited + 1; where waited = patience and d < drops: d ← d + 1, waited ← 0
    """

    gamma: float
    patience: int
    drops: int
    best: float = inf
    waited: int = 0
    dropped: int = 0

    def lr(self, step: int, epoch: int, steps: int) -> float:
        return self.initial * self.gamma**self.dropped

    def epoch_ended(self, error: float) -> None:
        if error < self.best:
            self.best, self.waited = error, 0
            return
        self.waited += 1
        if self.waited >= self.patience and self.dropped < self.drops:
            self.dropped, self.waited = self.dropped + 1, 0

    def state(self) -> dict[str, Any]:
        best = None if self.best == inf else self.best  # JSON has no infinity
        return {"best": best, "waited": self.waited, "dropped": self.dropped}

    def restore(self, state: dict[str, Any]) -> None:
        state = typed(state, {"best": float | None, "waited": int, "dropped": int})
        if len(state) < 3 or not 0 <= state["dropped"] <= self.drops or state["waited"] < 0:
            raise ValueError(f"it is {state}")
        self.best = inf if state["best"] is None else state["best"]
        self.waited, self.dropped = state["waited"], state["dropped"]


def schedule(recipe: Recipe) -> Schedule:
    """The schedule of a recipe, at its beginning."""
    match recipe.schedule:
        case "constant":
            return Schedule(recipe.lr)
        case "step":
            return Step(recipe.lr, recipe.gamma, recipe.drop, recipe.drop_epochs, recipe.drop_steps)
        case "plateau":
            return Plateau(recipe.lr, recipe.gamma, recipe.patience, recipe.drops)
        case "cosine":
            return Cosine(recipe.lr)
