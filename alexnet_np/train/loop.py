"""The training loop: forward, loss, backward, update, batch after batch; resumed at any step after Ctrl-C or a kill."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from math import isfinite
from pathlib import Path

import numpy as np

from .. import ops
from ..backend import Array, backend_of
from ..data import Split
from ..data.loader import Batch, batches, per_epoch
from ..dispatch import NoKernel, use
from ..network import Sequential
from ..parallel import threads
from ..plan import Plan
from .evaluation import Scores, evaluate, on_device
from .finite import NotFinite, check_weights, where_it_began
from .interrupts import Interrupts, interrupts
from .lock import alone_in
from .optimizer import SGD
from .profile import Timeline
from .record import Record, Report
from .run import Run
from .series import LAST, Series


def train_step(model: Sequential, sgd: SGD, x: Array, labels: Array, lr: float) -> float:
    """One step on a batch; returns the loss before the update. Raises NotFinite, before any update, where it is not."""
    logits = model.forward(x, train=True, logits=True)
    loss, probs = ops.softmax_cross_entropy(logits, labels)
    if not isfinite(float(loss)):
        raise NotFinite(where_it_began(model, x, float(loss)))
    model.backward(ops.softmax_cross_entropy_backward(probs, labels), need_dx=False, until=sgd.first)
    sgd.step(lr)
    model.iteration += 1
    return float(loss)


def fit(
    run: Run,
    data: Split,
    folder: Path | None = None,
    tell: Callable[[Report], None] | None = None,
    timeline: Timeline | None = None,
) -> bool:
    """Train until the recipe's epochs or steps are done; False where a signal ended it, whose number is `run.stopped`.

    Steps are planned, see `Plan`; a batch that lacks images, which the set skipped, is trained on layer by layer.

    Ctrl-C, SIGTERM and SIGHUP (where it is not ignored) end it after the step, or at once while the held-out images are
    scored; a second one at once. `folder` gets metrics.jsonl and the checkpoints of `Series`: at the beginning, every
    `save_every` steps, after each epoch, and at the end. `tell` hears of every step; where it raises OSError or
    SystemExit, since a terminal was closed, a checkpoint is written first. The `timeline` of a profile hears how long
    each batch was waited for.

    Raises NoKernel where the recipe's backend cannot run here, ValueError where the data are not the run's, where
    another run has the folder, and where a loss or weight is not finite: the message names the layer and the step where
    that began; the checkpoints before stay.
    """
    run.check_data(data.train)
    run.stopped = 0
    if run.recipe.backend != "cpu" and (why := backend_of(run.recipe.backend).missing()):
        raise NoKernel(f"backend {run.recipe.backend} cannot train here: {why}")
    kernels = nullcontext() if run.recipe.backend == "cpu" else use(run.recipe.backend)
    with (
        kernels,
        np.errstate(over="ignore", invalid="ignore"),  # the loss is looked at instead
        alone_in(folder) if folder else nullcontext(),
        interrupts() as signals,
    ):
        try:
            return _Loop(run, data, folder, tell, timeline, signals).go()
        except (ValueError, OSError) as error:
            kind = next(k for k in (NotFinite, ValueError, OSError) if isinstance(error, k))
            advice = "; try a smaller --lr" if kind is NotFinite else ""
            if folder and (folder / LAST).exists():
                flag = "--init" if kind is NotFinite else "--resume"  # a resumed run keeps its learning rate
                advice += f"; the last good checkpoint stays: {flag} {folder / LAST}"
            raise kind(f"{error}{advice}") from error


class _Loop:
    """Where a run stands is (steps done, the step that was last scored): everything else follows."""

    def __init__(
        self,
        run: Run,
        data: Split,
        folder: Path | None,
        tell: Callable[[Report], None] | None,
        timeline: Timeline | None,
        signals: Interrupts,
    ) -> None:
        self.run, self.data, self.tell, self.timeline, self.signals = run, data, tell, timeline, signals
        self.per_epoch = per_epoch(data.train, run.recipe.batch)
        epochs = run.recipe.epochs * self.per_epoch
        self.steps = min(epochs, run.recipe.steps or epochs)
        self.pace = _Pace()
        self.plans: dict[int, Plan] = {}  # made for the first batch of so many images
        self.series = self.record = None
        if folder:
            self.series = Series(folder, run.recipe.keep)
            self.series.tidy(run.model.iteration)
            self.record = Record(folder, run.model.iteration - self.unscored())

    def go(self) -> bool:
        run = self.run
        if run.model.iteration == 0:
            self.save()
        while self.unscored() or run.model.iteration < self.steps:
            if not (self.score() if self.unscored() else self.train()):
                self.save()
                run.stopped = self.signals.asked
                return False
        return True

    def unscored(self) -> bool:
        """Whether an epoch is done whose score is still to come."""
        step = self.run.model.iteration
        return step > self.run.scored and (step % self.per_epoch == 0 or step == self.steps)

    def train(self) -> bool:
        """The rest of an epoch; False where it was interrupted."""
        run, recipe, self.pace = self.run, self.run.recipe, _Pace()
        epoch, done = divmod(run.model.iteration, self.per_epoch)
        stream = batches(
            self.data.train,
            run.pixels,
            recipe.batch,
            seed=recipe.seed,
            epoch=epoch,
            start=done,
            threads=recipe.threads or threads(),
        )
        for batch, ahead in with_next(self.timeline.data(stream) if self.timeline else stream, on_device()):
            lr = self.lr(run.model.iteration)
            run.loss = self.step(batch.x, batch.labels, lr, ahead)
            self.pace.add(len(batch.labels), batch.waited)
            if self.unscored():
                break
            self.say(self.recorded(None, lr))
            if self.signals.asked:
                return False
            if run.model.iteration % recipe.save_every == 0:
                self.save()
        return not self.signals.asked

    def step(self, x: Array, labels: Array, lr: float, ahead: Batch | None) -> float:
        run = self.run
        if len(x) < run.recipe.batch and not on_device():
            return train_step(run.model, run.sgd, x, labels, lr)
        if len(x) not in self.plans:
            self.plans[len(x)] = plan = Plan(run.model, x.shape, run.recipe, sgd=run.sgd)
            if self.timeline:
                self.timeline.watch_plan(plan)
        next_one = (ahead.x, ahead.labels) if ahead and len(ahead.x) == len(x) else None
        return self.plans[len(x)].step(x, labels, lr, ahead=next_one)

    def score(self) -> bool:
        """The end of an epoch; False where it was interrupted."""
        run = self.run
        try:
            with self.signals.at_once():
                scores = evaluate(
                    run.model,
                    self.data.test,
                    run.pixels,
                    threads=run.recipe.threads or threads(),
                    precision=run.recipe.precision,
                )
        except KeyboardInterrupt:
            return False
        lr = self.lr(run.model.iteration - 1)
        run.scored = run.model.iteration
        run.schedule.epoch_ended(1 - scores.top1)
        best = run.best is None or scores.top1 > run.best
        run.best = scores.top1 if best else run.best
        report = self.recorded(scores, lr)
        self.save(best)
        self.say(report)
        return True

    def lr(self, step: int) -> float:
        return self.run.schedule.lr(step, step // self.per_epoch, self.steps)

    def recorded(self, scores: Scores | None, lr: float) -> Report:
        done, loss = self.run.model.iteration, self.run.loss
        assert loss is not None
        report = Report(done, self.steps, (done - 1) // self.per_epoch, loss, lr, *self.pace.shown(), scores)
        if self.record:
            self.record.append(report)
        return report

    def say(self, report: Report) -> None:
        if self.tell is None:
            return
        try:
            self.tell(report)
        except (OSError, SystemExit):  # nobody listens any more; rich ends the process where a pipe was closed
            self.save()
            if not self.signals.asked:  # by SIGHUP, which a closed terminal sends
                raise

    def save(self, best: bool = False) -> None:
        check_weights(self.run.model)
        if self.series:
            self.series.save(self.run, best)


def with_next(stream: Iterable[Batch], looking: bool) -> Iterator[tuple[Batch, Batch | None]]:
    """Every batch, with the one behind it where `looking`; waiting for that one would only delay a CPU."""
    before = None
    for batch in stream:
        if not looking:
            yield batch, None
            continue
        if before is not None:
            yield before, batch
        before = batch
    if before is not None:
        yield before, None


class _Pace:
    """Images a second, and the share of the time that was spent waiting for them."""

    def __init__(self) -> None:
        self.began, self.elapsed, self.images, self.waited = time.perf_counter(), 0.0, 0, 0.0

    def add(self, images: int, waited: float) -> None:
        self.images, self.waited = self.images + images, self.waited + waited
        self.elapsed = time.perf_counter() - self.began

    def shown(self) -> tuple[float, float]:
        return (self.images / self.elapsed, self.waited / self.elapsed) if self.elapsed else (0.0, 0.0)
