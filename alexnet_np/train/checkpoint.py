"""Checkpoints in safetensors: weights under 'conv1.weight', velocities under 'velocity.conv1.weight', and the pixels'
arrays under 'pixels.mean' and so on.

The metadata holds the recipe, the class names, the step, the state of the schedule and the best score: enough to
rebuild the network and to go on bit for bit; where in the data a run stands follows from the step. A checksum of
each array tells a damaged file from a whole one.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import Array, brought
from ..data import Pixels
from ..models import alexnet
from ..network import Sequential
from ..whole_files import replace_whole
from .optimizer import SGD, weighted
from .recipe import Recipe
from .recipe_file import from_dict

if TYPE_CHECKING:
    from .run import Run

FORMAT = "alexnet_np 2"


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
        "images": run.images,
        "input_shape": run.model.input_shape,
        "pixels": run.pixels.about(),
        "iteration": run.model.iteration,
        "loss": run.loss,
        "scored": run.scored,
        "best": run.best,
        "schedule": run.schedule.state(),
    }
    write_tensors(path, tensors, {"format": FORMAT, "run": json.dumps(about)})


def write_tensors(path: Path, tensors: Mapping[str, Array], metadata: dict[str, str]) -> None:
    """Write arrays and metadata, with their checksums, as a whole or not at all. Raises OSError."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    # safetensors writes the memory of an array that is not contiguous as if it were, without a word.
    arrays = {name: np.ascontiguousarray(brought(array, "cpu")) for name, array in tensors.items()}
    sums = {name: _checksum(array) for name, array in arrays.items()}
    sums |= {name: zlib.crc32(text.encode()) for name, text in metadata.items()}
    metadata = {**metadata, "crc32": json.dumps(sums)}
    try:
        replace_whole(path, lambda partial: save_file(arrays, partial, metadata))
    except (SafetensorError, OSError) as error:  # a full disk reaches us as the former
        raise OSError(f"cannot write {path}: {error}") from None


def load(path: Path) -> "Run":
    """The run in a file, as it was saved.

    Raises ValueError where the file is missing, damaged or not ours; for a damaged one the message names the one
    before it that is whole, if there is one.
    """
    from .run import Run

    tensors, about = _read_or_offer(path)
    recipe = _recipe(path, about)
    channels, height, width = about["input_shape"]
    shape = channels, height, width
    model = alexnet(recipe.variant, len(about["classes"]), recipe.seed, lrn=recipe.lrn, input_shape=shape)
    state, velocity, pixels = _sorted(tensors)
    try:
        model.load_state_dict(state)
    except ValueError as error:
        raise ValueError(f"{path} does not hold a whole {recipe.variant} network: {error}") from None
    model.iteration = about["iteration"]
    sgd = optimizer(model, recipe)
    if velocity.keys() != sgd.velocity.keys():
        raise ValueError(f"{path} has no velocity for {', '.join(sorted(velocity.keys() ^ sgd.velocity.keys()))}")
    for name, array in velocity.items():
        sgd.velocity[name][...] = array
    run = Run(recipe, model, sgd, Pixels.restore(pixels, about["pixels"]), about["classes"], about["images"])
    run.loss, run.scored, run.best = about["loss"], about["scored"], about["best"]
    run.schedule.restore(about["schedule"])
    return run


def read_recipe(path: Path) -> Recipe:
    """The recipe that a checkpoint was made with. Raises ValueError as `load` does."""
    return _recipe(path, _read_or_offer(path)[1])


def _recipe(path: Path, about: dict[str, Any]) -> Recipe:
    try:
        return from_dict(about["recipe"])
    except ValueError as error:
        raise ValueError(f"{path} has a recipe of another version: {error}") from None


def optimizer(model: Sequential, recipe: Recipe) -> SGD:
    """The recipe's optimizer, with zero velocity."""
    return SGD(
        model,
        recipe.momentum,
        recipe.weight_decay,
        bias_lr=recipe.bias_lr,
        bias_decay=recipe.bias_decay,
        freeze=recipe.freeze,
    )


def init_weights(path: Path, model: Sequential, variant: str, classes: list[str]) -> list[str]:
    """Copy a checkpoint's weights into a new network of the same variant; the last layer's only for the same classes.

    Returns the layers that stay as they were drawn. Raises ValueError for another variant or shape.
    """
    tensors, about = _read_or_offer(path)
    state = _sorted(tensors)[0]
    if about["recipe"]["variant"] != variant:
        raise ValueError(f"{path} is of the variant {about['recipe']['variant']}, it cannot start one of {variant}")
    anew = [] if about["classes"] == classes else weighted(model)[-1:]
    own = model.state_dict()
    try:
        model.load_state_dict({**state, **{name: own[name] for name in own if name.rpartition(".")[0] in anew}})
    except ValueError as error:
        raise ValueError(f"{path} does not fit: {error}") from None
    return anew


def numbered(folder: Path) -> dict[int, Path]:
    """The checkpoints 'step-….safetensors' of a folder by their step, the newest first."""
    found = {int(p.stem[5:]): p for p in folder.glob("step-*.safetensors") if p.stem[5:].isdecimal()}
    return dict(sorted(found.items(), reverse=True))


class Damaged(ValueError):
    """A file that is no whole checkpoint."""


def _read_or_offer(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    try:
        return _read(path)
    except Damaged as error:
        for other in numbered(path.parent).values():
            try:
                if not path.samefile(other):
                    _read(other)
                    raise ValueError(f"{error}; the checkpoint before it is whole: give {other}") from None
            except Damaged:
                continue
        raise


def _read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ValueError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        sums = json.loads(metadata.pop("crc32", "{}"))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise Damaged(f"{path} is damaged, or no safetensors file: {error}") from None
    if metadata.get("format") != FORMAT:
        form = metadata.get("format", "no format named")
        raise ValueError(f"{path} is a safetensors file, but not a checkpoint of ours ({FORMAT}; it has {form})")
    found = {name: _checksum(array) for name, array in tensors.items()}
    found |= {name: zlib.crc32(text.encode()) for name, text in metadata.items()}
    if wrong := [name for name in found.keys() | sums.keys() if found.get(name) != sums.get(name)]:
        raise Damaged(f"{path} is damaged: {', '.join(sorted(wrong)[:3])} changed since it was written")
    return tensors, json.loads(metadata["run"])


def _sorted(tensors: dict[str, Array]) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """A checkpoint's arrays: the network's, the velocities by parameter, the pixels'."""
    velocity = {n.removeprefix("velocity."): a for n, a in tensors.items() if n.startswith("velocity.")}
    pixels = {n: a for n, a in tensors.items() if n.startswith("pixels.")}
    state = {n: a for n, a in tensors.items() if not n.startswith(("velocity.", "pixels."))}
    return state, velocity, pixels


def _checksum(array: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data.cast("B"))
