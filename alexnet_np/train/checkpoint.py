"""Checkpoints in safetensors: weights under 'conv1.weight', velocities under 'velocity.conv1.weight', the mean image.

The metadata holds the recipe, the class names, the step and the pixel scale: enough to rebuild the network and to go
on bit for bit. A file is written beside its place and then moved there, so that an older one stays until a new one
is whole.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import Array
from ..data import Pixels
from ..models import alexnet
from .optimizer import SGD
from .recipe import Recipe

if TYPE_CHECKING:
    from .loop import Run

FORMAT = "alexnet_np 1"


def save(path: Path, run: "Run") -> None:
    """Write a run to a file. Raises OSError where it cannot be written; the file that was there is then unchanged."""
    tensors = {
        **run.model.state_dict(),
        **{f"velocity.{name}": v for name, v in run.sgd.velocity.items()},
        **run.pixels.tensors(),
    }
    about = {
        "recipe": asdict(run.recipe),
        "classes": run.classes,
        "iteration": run.model.iteration,
        "input_shape": run.model.input_shape,
        "pixels": run.pixels.about(),
    }
    write_tensors(path, tensors, {"format": FORMAT, "run": json.dumps(about)})


def write_tensors(path: Path, tensors: dict[str, Array], metadata: dict[str, str]) -> None:
    """Write arrays and metadata as a whole or not at all."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    # safetensors writes the memory of an array that is not contiguous as if it were, without a word.
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, partial, metadata)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def load(path: Path) -> "Run":
    """The run in a file, as it was saved. Raises ValueError where the file is missing, damaged or not ours."""
    from .loop import Run

    tensors, about = _read(path)
    recipe = Recipe(**{**about["recipe"], "drop": tuple(about["recipe"]["drop"])})
    channels, height, width = about["input_shape"]
    shape = channels, height, width
    model = alexnet(recipe.variant, len(about["classes"]), recipe.seed, lrn=recipe.lrn, input_shape=shape)
    pixels, velocity = (
        {n: tensors.pop(n) for n in list(tensors) if n.startswith(kind)} for kind in ("pixels.", "velocity.")
    )
    try:
        model.load_state_dict(tensors)
    except ValueError as error:
        raise ValueError(f"{path} does not hold a whole {recipe.variant} network: {error}") from None
    model.iteration = about["iteration"]
    sgd = SGD(model, recipe.momentum, recipe.weight_decay)
    for name in sgd.velocity:
        sgd.velocity[name][...] = velocity[f"velocity.{name}"]
    return Run(recipe, model, sgd, Pixels.restore(pixels, about["pixels"]), about["classes"])


def _read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ValueError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged, or no safetensors file: {error}") from None
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} is a safetensors file, but not a checkpoint of ours ({FORMAT})")
    return tensors, json.loads(metadata["run"])
