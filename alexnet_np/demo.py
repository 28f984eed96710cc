"""The main job on the embedded default: gradients checked, a network trained, operations timed, pictures drawn."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.table import Table

from . import data
from .gradient_check import gradcheck
from .layers import Flatten
from .models import alexnet
from .network import Sequential
from .pictures import draw_filters
from .report import fit_visibly
from .terminal import console, say
from .train import recipe_file, start
from .train.lock import alone_in


def run(out: Path, seed: int) -> None:
    """Everything, in under three minutes on two cores.

    Raises ValueError where a gradient is wrong, or another process is at it in that folder.
    """
    with alone_in(out):
        _run(out, seed)


def _run(out: Path, seed: int) -> None:
    began = time.perf_counter()
    shutil.rmtree(out / "run", ignore_errors=True)
    check_gradients(seed)
    recipe = replace(recipe_file.find("demo"), seed=seed)
    split = data.load(recipe.data, (3, 32, 32))
    trained = start(recipe, split)
    before = trained.model["conv1"].params["weight"].copy()
    console.rule("Training on the generated set")
    say(trained.model.summary())
    if not fit_visibly(trained, split, out / "run"):
        raise KeyboardInterrupt(trained.stopped)
    time_operations()
    console.rule("Pictures")
    draw_filters(out / "conv1.png", {"drawn": before, "learned": trained.model["conv1"].params["weight"]})
    pictures, _ = split.test.read(np.arange(1))
    Image.fromarray(np.ascontiguousarray(pictures[0].transpose(1, 2, 0))).save(out / "image.png")
    for name in ("conv1.png", "image.png", "run/curves.png", "run/last.safetensors", "run/metrics.jsonl"):
        say(f"  {(out / name).resolve()}")
    ask = f"alexnet-np study {out / 'image.png'} --checkpoint {out / 'run' / 'last.safetensors'}"
    say("ask the network where a number of a training step on that image comes from:")
    say(f"  {ask} --element conv2.dx[0,5,3,3] --trace")
    say(f"  {ask} --out {out / 'report.html'}")
    say(f"done in {time.perf_counter() - began:.0f} s")


def check_gradients(seed: int) -> None:
    """Differences against the backward of every layer of a small network, 100 elements of each gradient."""
    console.rule("Gradient check, float64")
    random = np.random.default_rng(seed)
    model = alexnet("mini", num_classes=5, seed=seed, dtype=np.float64, input_shape=(3, 18, 18))
    x, wrong = random.standard_normal((1, 3, 18, 18)), []
    for name, layer in model.items():
        report = gradcheck(layer, x, name=name, seed=seed, elements=100)
        say(report.text())
        wrong += [] if report.ok else [name]
        x = layer.forward(x)
    if wrong:
        raise ValueError(f"the gradients of {', '.join(wrong)} are wrong")


def time_operations(batch: int = 8) -> None:
    """Milliseconds of each operation of the paper's network, by backend."""
    from .benchmarks.operations import time_operations

    console.rule(f"Operations of the paper's network, batch {batch}, median milliseconds")
    rows = time_operations(_without_classifier(alexnet("paper")), batch, runs=3)
    backends = list(dict.fromkeys(key for row in rows for key in row.seconds))
    table = Table("layer", "operation", "GFLOP", "MB", *backends, box=SIMPLE_HEAD)
    for row in rows:
        cells = (f"{row.seconds[key] * 1e3:.1f}" if key in row.seconds else "–" for key in backends)
        table.add_row(row.layer, row.op, f"{row.flops / 1e9:.2f}", f"{row.bytes / 1e6:.0f}", *cells)
    console.print(table)


def _without_classifier(model: Sequential) -> Sequential:
    """The layers up to the first Flatten: where convolution, pooling and normalisation happen."""
    names = list(model)
    stop = next(i for i, name in enumerate(names) if isinstance(model[name], Flatten))
    return Sequential({name: model[name] for name in names[:stop]}, input_shape=model.input_shape)
