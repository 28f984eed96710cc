"""A training run: what it carries from step to step, how it begins, and which data it belongs to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data import Dataset, Pixels, Split, changes, fingerprint, measure
from ..models import VARIANTS, alexnet
from ..network import Sequential
from ..parallel import threads
from .checkpoint import init_weights, optimizer
from .optimizer import SGD
from .recipe import Recipe
from .schedule import Schedule, schedule


@dataclass
class Run:
    """Everything that a training run carries from step to step; `model.iteration` counts its steps.

    images    in the training set: with the step, they say where in the data the run stands
    data      fingerprints of the training and the held-out images, see `data.fingerprint`; None: unknown
    schedule  of the learning rate, with its state
    loss      of the last step
    scored    the step after which the held-out images were last scored
    best      the highest top-1 so far
    stopped   the number of the signal that ended `fit` early, or 0
    """

    recipe: Recipe
    model: Sequential
    sgd: SGD
    pixels: Pixels
    classes: list[str]
    images: int
    data: dict[str, Any] | None = None
    schedule: Schedule = field(init=False)
    loss: float | None = None
    scored: int = 0
    best: float | None = None
    stopped: int = 0

    def __post_init__(self) -> None:
        self.schedule = schedule(self.recipe)

    def check_data(self, data: Dataset) -> None:
        """Raises ValueError where a training set is not the one that the run began with."""
        if list(data.classes) != self.classes:
            raise ValueError(
                f"the checkpoint has {_listed(self.classes)}, the images have {_listed(list(data.classes))}; "
                "for other classes start a new run from it with --init"
            )
        if len(data.labels) != self.images:
            raise ValueError(
                f"the run began with {self.images:,} training images, there are {len(data.labels):,} now; it can go on "
                "with the same ones only: start a new run from its weights with --init"
            )

    def changed_data(self, data: Split) -> list[str]:
        """What is another in the images than when the run began, in a sentence for each part; it goes on with these."""
        before, self.data = self.data, fingerprint(data)
        return [] if before is None else changes(before, self.data)


def start(recipe: Recipe, data: Split, tell: Callable[[str], None] | None = None) -> Run:
    """A run at its beginning: initial weights, zero velocity, what the training images' pixels are like.

    `tell` hears in a line what was taken from another checkpoint. Raises ValueError where recipe and data do not fit.
    """
    train, variant = data.train, VARIANTS[recipe.variant]
    shape = variant.input_shape if recipe.store else train.shape
    model = alexnet(recipe.variant, len(train.classes), recipe.seed, lrn=recipe.lrn, input_shape=shape)
    if recipe.init:
        anew = init_weights(Path(recipe.init), model, recipe.variant, list(train.classes))
        if tell:
            tell(f"weights from {recipe.init}" + "".join(f"; {name} drawn anew for other classes" for name in anew))
    sgd = optimizer(model, recipe)
    pixels = measure(
        train,
        scale=variant.scale_pixels,
        crop=shape[1:] if recipe.store else None,
        mirror=recipe.mirror,
        colour=recipe.colour,
        seed=recipe.seed,
        threads=recipe.threads or threads(),
    )
    return Run(recipe, model, sgd, pixels, list(train.classes), len(train.labels), fingerprint(data))


def _listed(classes: list[str]) -> str:
    shown = ", ".join(classes[:5]) + (", …" if len(classes) > 5 else "")
    return f"{len(classes)} classes ({shown})"
