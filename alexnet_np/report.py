"""What the terminal shows: tables, progress, scores. Progress bars stay away where there is no terminal."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from json import dumps
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from threadpoolctl import threadpool_limits

from . import data
from .backend import BACKENDS
from .data.resize import resize
from .dispatch import load_kernels
from .gradient_check import How, check_named
from .gradient_check.page import page
from .models import VARIANTS
from .parallel import set_threads
from .terminal import complain, console, progress_bar, say, shown
from .train import Recipe, Report, Run, Scores, checkpoint, fit, metrics, start
from .train.lock import alone_in
from .train.profile import profile
from .train.recipe import FREE
from .train.series import LAST
from .whole_files import replace_text


def show_info() -> None:
    """Operations × backends, with the reason wherever something cannot run."""
    table = Table("operation", *(name.replace("_", "\n") for name in BACKENDS), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for op in load_kernels().values():
        counts = [
            sum(key.partition("/")[0] == backend.bodies for key in op.kernels) if backend.missing() is None else None
            for backend in BACKENDS.values()
        ]
        table.add_row(op.name, *("·" if n is None else str(n or "–") for n in counts))
    console.print(table)
    say("Numbers count kernels; –: none is written; ·: the backend cannot run here.\n")
    reasons = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, backend in BACKENDS.items():
        reasons.add_row(name, backend.missing() or "available", backend.summary)
    console.print(reasons)


def check_visibly(what: str, how: How, html: Path | None, json: Path | None) -> bool:
    """Print a report for each target as it is done, and write the files; whether all were right.

    Raises ValueError for what is unknown, OSError for a file that cannot be written.
    """
    styles = {"wrong": "bold red", "undecided": "yellow", "right": None}
    reports = []
    with threadpool_limits(1, user_api="blas"):  # the arrays are small: a second thread would wait, not help
        for report in check_named(what, how):
            for verdict, line in report.lines(remarks=".py:" in what):
                say(line, styles[verdict])
            reports.append(report)
    wrong = [report for report in reports if not report.ok]
    if html:
        text = page(reports, f"gradcheck {what}")
        replace_text(html, text)
    if json:
        plain = dumps([report.json() for report in reports], indent=1)
        replace_text(json, plain)
    say(f"{len(reports)} checked, {len(wrong)} wrong" + (f"\nagain: {wrong[0].command}" if wrong else ""))
    return not wrong


def train_visibly(
    recipe: Recipe, out: Path, resume: Path | None, profile_file: Path | None = None, tensorboard: bool = False
) -> Run:
    """Train with a progress bar and one line for each epoch.

    Raises ValueError where `out` holds another run or one that goes on now, and for images that do not fit.
    """
    if recipe.threads:
        set_threads(recipe.threads)
    if recipe.data != "generated":  # a run is resumed from any folder
        recipe = replace(recipe, data=str(Path(recipe.data).expanduser().absolute()))
    if tensorboard:
        metrics.need_tensorboard()
    with alone_in(out):
        run = _resumed(resume, recipe) if resume else None
        if not resume and (there := next(out.glob("*.safetensors"), None)):
            raise ValueError(f"{there} exists; give --resume to go on with it, or another --out")
        shape = run.model.input_shape if run and run.model.input_shape else _shape(recipe)
        split = data.load(recipe.data, shape, store=recipe.store, on_bad_image=recipe.on_bad_image)
        if run is None:
            run = start(recipe, split, say)
        else:
            run.check_data(split.train)
            for change in run.changed_data(split):
                complain(f"since the checkpoint {change}; the run goes on with them")
        say(
            f"{recipe.variant} on {shown(recipe.data)}: {len(split.train.labels):,} images to train on, "
            f"{len(split.test.labels):,} held out, {len(run.classes)} classes"
        )
        with metrics.tensorboard(out, run.model.iteration) if tensorboard else nullcontext() as events:
            finished = fit_visibly(run, split, out, profile_file, events)
    last = out / LAST
    if finished:
        say(f"done; {last}")
    else:
        say(f"interrupted at step {run.model.iteration}; go on with: alexnet-np train --resume {last}")
    return run


def fit_visibly(
    run: Run,
    split: data.Split,
    out: Path,
    profile_file: Path | None = None,
    events: Callable[[Report], None] | None = None,
) -> bool:
    """The training loop under a progress bar: loss, images a second, time left. Curves are drawn after each epoch.

    profile_file: where the timeline of the first steps is written; their table is printed. events: hears every report.

    Raises OSError, after the training, where the timeline could not be written.
    """
    began, profiled, drawn, unwritten = time.perf_counter(), False, False, False
    with progress_bar("{task.fields[pace]}") as progress:
        task = progress.add_task("training", total=None, pace="")

        def show_profile() -> None:
            nonlocal profiled, unwritten
            if profile_file and timeline and not profiled:
                profiled = True
                if timeline.done == 0:
                    return say(f"no step was trained, so there is nothing to profile; {profile_file} is not written")
                say(timeline.table())
                try:
                    timeline.write(profile_file)
                    say(f"wrote {profile_file}; https://ui.perfetto.dev opens it")
                except OSError as error:  # the training goes on
                    unwritten = True
                    complain(f"the timeline is not written: {error}")

        def draw() -> None:
            nonlocal drawn
            drawn = True
            try:
                metrics.draw(out, f"{run.recipe.variant} on {run.recipe.data}")
            except Exception as error:  # whatever it is: no picture must end a training
                say(f"  the curves are not drawn: {shown(f'{type(error).__name__}: {error}')}")

        def tell(report: Report) -> None:
            if timeline and timeline.done == timeline.steps:
                show_profile()
            if events:
                events(report)
            pace = f"loss {report.loss:.4f}  {report.images_per_second:,.0f} images/s"
            progress.update(task, completed=report.step, total=report.steps, pace=pace)
            if report.scores:
                _say_epoch(report, split, time.perf_counter() - began)
                draw()

        with profile(run.model, run.sgd) if profile_file else nullcontext() as timeline:
            finished = fit(run, split, out, tell, timeline)
        show_profile()
        if finished and not drawn:  # what was resumed was done, but for this
            draw()
        if unwritten and finished:  # an interrupted run has an exit code of its own
            raise OSError(f"the training is done, but {profile_file} is not written")
        return finished


def _say_epoch(report: Report, split: data.Split, seconds: float) -> None:
    """How good the network is after an epoch, and which images were left out so far."""
    assert report.scores
    say(
        f"epoch {report.epoch + 1:>3}: {describe(report.scores)}; "
        f"{report.images_per_second:,.0f} images/s, {report.waiting:.0%} of the time waiting for data, "
        f"{seconds / 60:.1f} min"
    )
    if skipped := {**split.train.skipped, **split.test.skipped}:
        name, reason = next(iter(skipped.items()))
        first = reason if name in reason else f"{name}: {reason}"
        say(f"  {len(skipped)} images skipped so far; the first: {shown(first)}")


def resize_visibly(
    source: Path, target: Path, side: int, quality: int, threads: int, on_bad_image: data.OnBadImage
) -> None:
    """Copy a folder of images at another size under a progress bar, and say what became of them."""
    with progress_bar() as progress:
        task = progress.add_task("resizing", total=None)
        counts = resize(
            source,
            target,
            side=side,
            quality=quality,
            threads=threads,
            on_bad_image=on_bad_image,
            tell=lambda done, total: progress.update(task, completed=done, total=total),
        )
    for name, reason in counts.skipped.items():
        say(f"left out: {shown(reason if name in reason else f'{name}: {reason}')}")
    say(
        f"{target}: {counts.resized:,} images resized, {counts.kept:,} kept as they were, {counts.copied:,} tables "
        f"copied, {counts.there:,} there before, {len(counts.skipped):,} files left out (JPEG by {data.decoder()})"
    )


def describe(scores: Scores) -> str:
    """Loss, top-1 and top-5 in words."""
    return f"loss {scores.loss:.4f}, top-1 {scores.top1:.2%}, top-5 {scores.top5:.2%}"


def _resumed(path: Path, recipe: Recipe) -> Run:
    """The run in a checkpoint, with the recipe's settings where they may differ from its own."""
    run = checkpoint.load(path)
    free = FREE if recipe.schedule == "cosine" else (*FREE, "epochs", "steps")  # a cosine depends on its length
    before, now = asdict(run.recipe), asdict(recipe)
    if changed := [f"{k} {before[k]!r} → {now[k]!r}" for k in before if before[k] != now[k] and k not in free]:
        raise ValueError(f"{path} was made by another recipe ({'; '.join(changed)}); a resumed run keeps its recipe")
    run.recipe = recipe
    return run


def _shape(recipe: Recipe) -> tuple[int, int, int]:
    return VARIANTS[recipe.variant].input_shape
