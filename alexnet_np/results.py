"""What the terminal shows of a trained network: its scores, and what it sees in pictures."""

import json
import re
import sys
from codecs import lookup
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import data
from .report import describe
from .terminal import CONTROL, complain, progress_bar, say, shown
from .train import Run, Scores, checkpoint, evaluate
from .train.evaluation import Crops
from .train.prediction import image_files, predict
from .whole_files import replace_text

LISTED = 20  # up to so many classes are all listed; of more, the worst half of that


def show_scores(
    path: Path,
    source: str | None,
    *,
    crops: Crops,
    batch: int,
    threads: int,
    skip: bool,
    json_file: Path | None,
    picture: Path | None,
) -> None:
    """Evaluate a checkpoint on the held-out images of a source: table, JSON and picture."""
    if picture:
        from .pictures import draw_confusion, picture_format  # matplotlib takes a while to load

        picture_format(picture)  # an evaluation is long: what cannot be written is said before it
    run = checkpoint.load(path)
    source = source or run.recipe.data
    images = _held_out(run, source, skip)
    with progress_bar("images") as progress:
        task = progress.add_task("evaluating", total=len(images.labels))
        scores = evaluate(
            run.model, images, run.pixels, batch, crops=crops, threads=threads, tell=lambda n: progress.advance(task, n)
        )
    headline = f"{run.recipe.variant}, {scores.images:,} images, {'ten crops' if crops == 10 else 'centre crop'}"
    if str(json_file) != "-":
        say(f"{headline}: {describe(scores)}\n\n{per_class(scores, run.classes)}")
    for name, reason in images.skipped.items():
        complain(f"left out {name}: {reason}")
    if json_file:
        about = {"checkpoint": str(path), "variant": run.recipe.variant, "step": run.model.iteration, "data": source}
        write_json({**about, **scores.json(run.classes), "skipped": dict(images.skipped)}, json_file)
    if picture:
        draw_confusion(picture, scores.confusion, run.classes, f"{headline}\ntop-1 {scores.top1:.2%} on {source}")


def _held_out(run: Run, source: str, skip: bool) -> data.Dataset:
    """The images to evaluate a run on. Raises ValueError where they do not fit its classes or its mean image."""
    stored = run.pixels.mean.shape
    channels, (height, width) = stored[0], run.pixels.window
    shape, store = (channels, height, width), stored[1] if run.pixels.crop else None
    images = data.load(source, shape, store=store, on_bad_image="skip" if skip else "error").test
    mine, its = list(run.classes), list(images.classes)
    if mine != its:
        raise ValueError(f"{source} has other classes than the checkpoint: {_difference(mine, its)}")
    if tuple(images.shape) != stored:
        raise ValueError(f"{source} has images of {tuple(images.shape)}, the checkpoint was trained on {stored}")
    return images


def _difference(mine: list[str], its: list[str]) -> str:
    """What tells two lists of class names apart, in a few words."""

    def some(names: list[str]) -> str:
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    more, fewer = ([n for n in one if n not in set(other)] for one, other in ((its, mine), (mine, its)))
    said = [f"it has {some(more)}"] * bool(more) + [f"it lacks {some(fewer)}"] * bool(fewer)
    return ", ".join(said) or f"the same {len(mine)} in another order"


def per_class(scores: Scores, classes: Sequence[str]) -> str:
    """A line for each class, or for the worst where there are many: images, share right, what it is most taken for."""
    order, classes = np.arange(len(classes)), list(map(shown, classes))
    if few := len(classes) > LISTED:
        order = np.argsort(scores.per_class, kind="stable")[: LISTED // 2]  # NaN, a class without images, comes last
    wrong = scores.confusion - np.diag(np.diag(scores.confusion))
    cells = [("class", "images", "right", "most often taken for")]
    for k in map(int, order):
        images, share, most = int(scores.confusion[k].sum()), scores.per_class[k], int(wrong[k].argmax())
        other = f"{classes[most]} ({wrong[k, most]:,})" if wrong[k, most] else ""
        cells.append((classes[k], f"{images:,}", f"{share:.1%}" if images else "–", other))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        f"{name.ljust(widths[0])}  {n.rjust(widths[1])}  {right.rjust(widths[2])}  {other}".rstrip()
        for name, n, right, other in cells
    ]
    if few:
        lines.append(f"… the worst {len(order)} of {len(classes):,} classes; --json has all of them")
    return "\n".join(lines)


def show_predictions(
    path: Path,
    arguments: Sequence[str],
    *,
    top: int,
    crops: Crops,
    batch: int,
    threads: int,
    json_file: Path | None,
) -> None:
    """Print the most probable classes of pictures. Raises ValueError at the end where one could not be read."""
    run = checkpoint.load(path)
    names = image_files(arguments, sys.stdin)
    predictions = []
    for prediction in predict(
        run.model, run.pixels, run.classes, names, top=top, crops=crops, batch=batch, threads=threads
    ):
        predictions.append(prediction)
        if prediction.error:
            complain(prediction.error)
        elif str(json_file) != "-":
            say("\n".join([shown(prediction.image), *(f"  {p:7.2%}  {shown(name)}" for name, p in prediction.top)]))
    if json_file:
        about = {"checkpoint": str(path), "variant": run.recipe.variant, "step": run.model.iteration, "crops": crops}
        write_json({**about, "predictions": [prediction.json() for prediction in predictions]}, json_file)
    if bad := sum(prediction.error is not None for prediction in predictions):
        raise ValueError(f"{bad} of {len(names)} images could not be read")


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write JSON to a file, whole or not at all, or to the terminal where the path is '-'.

    Text stays readable where it is written in UTF-8; control characters, and bytes of a name that are no UTF-8, which
    Python has as halves of surrogate pairs, are escaped.
    """
    terminal = str(path) == "-"
    utf8 = not terminal or lookup(sys.stdout.encoding or "utf-8").name == "utf-8"
    text = json.dumps(content, indent=1, ensure_ascii=not utf8)
    text = re.sub(r"\[\n[\d,\s]+\]", lambda row: " ".join(row.group().split()), text)  # a row of counts is one line
    lines = [CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", line) for line in text.split("\n")]
    if terminal:
        print(*lines, sep="\n")
    else:
        replace_text(path, "\n".join([*lines, ""]))
