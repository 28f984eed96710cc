"""The training loop: forward, loss, backward, update, batch after batch; interrupted and resumed at any step."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from .. import ops
from ..backend import Array
from ..data import Pixels, Split, measure
from ..data.loader import batches, per_epoch
from ..models import VARIANTS, alexnet
from ..network import Sequential
from .checkpoint import save
from .evaluation import Scores, evaluate
from .optimizer import SGD
from .recipe import Recipe


@dataclass
class Run:
    """Everything that a training run carries from step to step; `model.iteration` counts its steps."""

    recipe: Recipe
    model: Sequential
    sgd: SGD
    pixels: Pixels
    classes: list[str]


class Report(NamedTuple):
    """What the loop tells after a step: where it is, and at the end of an epoch the scores on the held-out images."""

    step: int
    steps: int
    epoch: int
    loss: float
    images_per_second: float
    scores: Scores | None


def start(recipe: Recipe, data: Split) -> Run:
    """A run at its beginning: initial weights, zero velocity, the training images' mean."""
    variant = VARIANTS[recipe.variant]
    model = alexnet(recipe.variant, len(data.train.classes), recipe.seed, lrn=recipe.lrn, input_shape=data.train.shape)
    sgd = SGD(model, recipe.momentum, recipe.weight_decay)
    return Run(recipe, model, sgd, measure(data.train, variant.scale_pixels, recipe.seed), list(data.train.classes))


def train_step(model: Sequential, sgd: SGD, x: Array, labels: Array, lr: float) -> float:
    """One step on a batch; returns the loss before the update."""
    logits = model.forward(x, train=True, logits=True)
    loss, probs = ops.softmax_cross_entropy(logits, labels)
    model.backward(ops.softmax_cross_entropy_backward(probs, labels), need_dx=False)
    sgd.step(lr)
    model.iteration += 1
    return float(loss)


def fit(run: Run, data: Split, folder: Path | None = None, tell: Callable[[Report], None] | None = None) -> bool:
    """Train until the recipe's epochs are done; False where Ctrl-C ended it early, at the end of a step.

    `folder` gets last.safetensors after each epoch and at the end, and metrics.jsonl. `tell` hears of every step.
    Raises ValueError where the loss is not finite; the checkpoint of the epoch before stays.
    """
    recipe, model = run.recipe, run.model
    steps = per_epoch(data.train, recipe.batch)
    record = _record(folder, model.iteration)
    with _interruptible() as interrupted:
        for epoch in range(model.iteration // steps, recipe.epochs):
            done = model.iteration - epoch * steps
            began, seen = time.perf_counter(), 0
            for x, labels in batches(data.train, run.pixels, recipe.batch, seed=recipe.seed, epoch=epoch, start=done):
                loss = train_step(model, run.sgd, x, labels, recipe.lr_at(epoch + 1))
                if not isfinite(loss):
                    raise ValueError(f"the loss is {loss} at step {model.iteration}; try a smaller --lr")
                seen += len(labels)
                speed = seen / (time.perf_counter() - began)
                last, stop = model.iteration == (epoch + 1) * steps, interrupted.is_set()
                scores = evaluate(model, data.test, run.pixels) if last else None
                report = Report(model.iteration, recipe.epochs * steps, epoch, loss, speed, scores)
                record(report)
                if folder and (last or stop):
                    save(folder / "last.safetensors", run)
                if tell:
                    tell(report)
                if stop:
                    return False
    return True


def _record(folder: Path | None, iteration: int) -> Callable[[Report], None]:
    """Appends reports to metrics.jsonl, after dropping those beyond the step that is resumed from."""
    if folder is None:
        return lambda report: None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= iteration]
    path.write_text("".join(f"{line}\n" for line in kept))

    def append(report: Report) -> None:
        entry: dict[str, Any] = report._asdict()
        entry["scores"] = report.scores and report.scores.summary()
        with path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    return append


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Ctrl-C inside the block sets the event, so that a step is never cut in two; a second Ctrl-C ends at once."""
    event = threading.Event()

    def interrupt(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
