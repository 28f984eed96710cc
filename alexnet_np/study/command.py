"""`alexnet-np study`: a recorded step of a network, and where numbers of it come from, in the terminal."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..backend import Array
from ..data.decode import decode
from ..data.pixels import Pixels
from ..models import VARIANTS, alexnet
from ..network import Sequential
from ..recording import NAMES, Recording
from ..terminal import say
from ..train import checkpoint
from ..train.prediction import image_files
from ..whole_files import replace_text
from .nearest import nearest, thumbnails
from .provenance import provenance
from .report import Alike, page
from .terms import Index
from .training import train

BUDGET = 8 << 30
MOST = 500  # images of a folder that are looked at for the nearest
ELEMENT = re.compile(r"(\w+)\.(\w+)\[([\d,\s]*)\]")


def show(
    images: Sequence[Path],
    *,
    variant: str,
    path: Path | None,
    elements: Sequence[str],
    summary: bool,
    trace: bool,
    terms: int,
    label: int | None,
    seed: int,
    out: Path | None,
    near: Path | None,
) -> None:
    """Do a step in float64, and show what was asked for. Raises ValueError where that does not exist."""
    asked = [parsed(text) for text in elements]
    if not asked and not summary and not out:
        raise ValueError("name an --element, such as conv2.dx[0,5,3,3], ask for the --summary, or for a page: --out")
    if out and len(images) > 1:
        raise ValueError(f"a page shows one image, got {len(images)}")
    if near and not out:
        raise ValueError("--near looks for images to show on a page: it needs --out")
    if terms < 1:
        raise ValueError(f"terms must be at least 1, got {terms}")
    model, pixels, classes = _network(variant, path, seed)
    x, about = _pictures(model, pixels, images, seed)
    wanted = {what for _, what, _ in asked}
    names = [name for name in NAMES if name in wanted or out or not name.startswith(("dw", "db"))]
    with model.record(names=names, budget=BUDGET) as recording:
        labels = _labels(model, x, label)
        loss = recording.step(x, labels)
        if summary or out:  # the first step loads and compiles kernels, and draws weights
            recording.step(x, labels)
    say(f"{model.title}: {about}; label {', '.join(map(str, labels))}, loss {loss:.6g}")
    if summary:
        say(f"\n{_map(model, recording)}")
    for layer, what, index in asked:
        try:
            found = provenance(model, layer, what, index)
        except KeyError as missing:
            raise ValueError(missing.args[0]) from None
        say(f"\n{found.table(terms)}")
        if trace:
            say(f"\n{found.trace_back()}")

    if out:
        guesses = best(model.forward(x)[0], classes)
        alike = _alike(model, pixels, x, near) if near else []
        text = page(recording, f"{model.title}: a training step", about, guesses, train(model, x, labels), alike)
        replace_text(out, text)
        say(f"wrote {out}, {len(text.encode()) / 2**20:.1f} MiB; open it in a browser")


def parsed(text: str) -> tuple[str, str, Index]:
    """'conv2.dx[0,5,3,3]' as ('conv2', 'dx', (0, 5, 3, 3)). Raises ValueError for anything else."""
    match = ELEMENT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} names no element; write a layer, y, dx, dweight or dbias, and [its index]")
    layer, what, index = match.groups()
    return layer, what, tuple(int(i) for i in index.split(",") if i.strip())


def best(probabilities: Array, classes: Sequence[str], count: int = 5) -> list[tuple[str, float]]:
    """The most probable classes of an image, best first."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [(classes[k], float(probabilities[k])) for k in order]


def _alike(model: Sequential, pixels: Pixels | None, x: Array, folder: Path) -> list[Alike]:
    """The images of a folder that are nearest to x; of the first MOST of them by name."""
    files = [Path(name) for name in image_files([str(folder)])][:MOST]
    found = _decoded(model, pixels, files)
    alike = nearest(model, x, _inputs(pixels, found))
    small = thumbnails([found[i] for i, _ in alike])
    return [(str(files[i].relative_to(folder)), d, picture) for (i, d), picture in zip(alike, small, strict=True)]


def _network(variant: str, path: Path | None, seed: int) -> tuple[Sequential, Pixels | None, list[str]]:
    """The network, how it takes images, and the names of its classes.

    In float64: sums of terms then agree with what is recorded to the last digits that are shown.
    """
    if path is None:
        if variant not in VARIANTS:
            raise ValueError(f"unknown variant {variant!r}; the variants are {', '.join(VARIANTS)}")
        model = alexnet(variant, seed=seed, dtype=np.float64)
        return model, None, [f"class {k}" for k in range(model.specs()["prob"][0].shape[1])]
    run = checkpoint.load(path)
    assert run.model.input_shape
    wide = alexnet(
        run.recipe.variant, len(run.classes), seed=run.recipe.seed, dtype=np.float64, input_shape=run.model.input_shape
    )
    wide.load_state_dict(run.model.state_dict())
    wide.iteration = run.model.iteration
    return wide, run.pixels, run.classes


def _pictures(model: Sequential, pixels: Pixels | None, files: Sequence[Path], seed: int) -> tuple[Array, str]:
    """Inputs (n, C, H, W) and what they are: pictures as the checkpoint takes them, or without one minus their mean."""
    assert model.input_shape
    if not files:
        return np.random.default_rng(seed).standard_normal((1, *model.input_shape)), "an image of random numbers"
    about = ", ".join(map(str, files)) + (", minus the mean" if pixels is None else "")
    return _inputs(pixels, _decoded(model, pixels, files)), about


def _decoded(model: Sequential, pixels: Pixels | None, files: Sequence[Path]) -> Array:
    """uint8 images (n, C, H, W) of the size that is stored."""
    assert model.input_shape
    shape = model.input_shape if pixels is None else pixels.mean.shape
    return np.stack([decode(file.read_bytes(), str(file), shape) for file in files])


def _inputs(pixels: Pixels | None, images: Array) -> Array:
    """What the network takes of them, float64."""
    if pixels is not None:
        return np.ascontiguousarray(pixels(images), np.float64)
    centred = images - images.mean(axis=(2, 3), keepdims=True, dtype=np.float64)
    return np.ascontiguousarray(centred / 64)


def _labels(model: Sequential, x: Array, label: int | None) -> Array:
    """The given class for all, or what the network takes them for."""
    scores = model.forward(x, logits=True)
    if label is None:
        return scores.argmax(axis=1)
    if not 0 <= label < scores.shape[1]:
        raise ValueError(f"label must be from 0 to {scores.shape[1] - 1}, got {label}")
    return np.full(len(x), label)


def _map(model: Sequential, recording: Recording) -> str:
    """The summary, and how long each layer took of this step."""
    rows = [("layer", "forward", "backward")]
    for name in model:
        times = (recording.seconds.get((name, way)) for way in ("forward", "backward"))
        rows.append((name, *("" if t is None else f"{1e3 * t:.2f} ms" for t in times)))  # type: ignore[arg-type]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{a.ljust(widths[0])}  {b.rjust(widths[1])}  {c.rjust(widths[2])}".rstrip() for a, b, c in rows]
    return "\n".join([model.summary(), "", *lines])
