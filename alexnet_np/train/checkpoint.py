"""Checkpoints in safetensors: weights under 'conv1.weight', velocities under 'velocity.conv1.weight', and the pixels'
arrays under 'pixels.mean' and so on.

The metadata (`About`) holds the recipe, the class names, the step, the state of the schedule and the best score: enough
to rebuild the network and to go on bit for bit; where in the data a run stands follows from the step. Checksums
(`checked_file.py`) tell a damaged file from a whole one.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backend import Array
from ..data import Pixels
from ..models import alexnet
from ..network import Sequential
from .about import About
from .checked_file import Damaged, read_tensors, write_tensors
from .optimizer import SGD, weighted
from .recipe import Recipe
from .recipe_file import from_dict

if TYPE_CHECKING:
    from .run import Run

FORMAT = "alexnet_np 3"
READ = "alexnet_np 2", FORMAT  # the former has neither the data's fingerprint nor a checksum of the header


def save(path: Path, run: "Run") -> None:
    """Write a run to a file. Raises OSError where it cannot be written; the file that was there is then unchanged."""
    tensors = {
        **run.model.state_dict(),
        **{f"velocity.{name}": v for name, v in run.sgd.velocity.items()},
        **run.pixels.tensors(),
    }
    about = About(
        recipe=asdict(run.recipe),
        classes=tuple(run.classes),
        images=run.images,
        input_shape=run.model.input_shape or (),
        pixels=run.pixels.about(),
        iteration=run.model.iteration,
        loss=run.loss,
        scored=run.scored,
        best=run.best,
        schedule=run.schedule.state(),
        data=run.data,
    )
    write_tensors(path, tensors, {"format": FORMAT, "run": json.dumps(asdict(about))})


def load(path: Path) -> "Run":
    """The run in a file, as it was saved.

    Raises ValueError where the file is missing, damaged or not ours; for a damaged one the message names the one
    before it that is whole, if there is one.
    """
    from .run import Run

    tensors, about = _read_or_offer(path)
    recipe = _recipe(path, about)
    channels, height, width = about.input_shape
    shape, classes = (channels, height, width), list(about.classes)
    state, velocity, arrays = _sorted(tensors)
    try:
        model = alexnet(recipe.variant, len(classes), recipe.seed, lrn=recipe.lrn, input_shape=shape)
        model.load_state_dict(state)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} does not hold a whole {recipe.variant} network: {error}") from None
    model.iteration = about.iteration
    sgd = optimizer(model, recipe)
    _restore_velocity(path, sgd, velocity)
    run = Run(recipe, model, sgd, _pixels(path, arrays, about), classes, about.images, about.data)
    run.loss, run.scored, run.best = about.loss, about.scored, about.best
    try:
        run.schedule.restore(about.schedule)
    except ValueError as error:
        raise ValueError(f"{path} has no state of the schedule {recipe.schedule!r}: {error}") from None
    return run


def _pixels(path: Path, arrays: dict[str, Array], about: About) -> Pixels:
    """How pixels become inputs. Raises ValueError where an array is missing, or does not fit the network's input."""
    mean, colour = arrays.get("pixels.mean"), arrays.get("pixels.colour")
    whole = mean is not None and mean.ndim == 3 and mean.dtype.kind == "f"
    if not whole or (colour is not None and (colour.shape != (3, 3) or colour.dtype.kind != "f")):
        raise ValueError(f"{path} does not hold the mean image and the colours that images are brought to inputs with")
    try:
        pixels = Pixels.restore(arrays, about.pixels)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if (len(pixels.mean), *pixels.window) != about.input_shape:
        raise ValueError(f"{path} has a mean image of {pixels.mean.shape} for a network that takes {about.input_shape}")
    return pixels


def _restore_velocity(path: Path, sgd: SGD, velocity: dict[str, Array]) -> None:
    """Raises ValueError where an array is missing, unknown, or of another shape than its weights."""
    own = sgd.velocity
    if wrong := [n for n in own.keys() | velocity.keys() if n not in own or n not in velocity]:
        raise ValueError(f"{path} has no velocity for {', '.join(sorted(wrong))}")
    if wrong := [n for n, array in velocity.items() if array.shape != own[n].shape or array.dtype.kind not in "fiu"]:
        raise ValueError(f"{path} has a velocity of {velocity[wrong[0]].shape} for {wrong[0]}")
    for name, array in velocity.items():
        own[name][...] = array


def read_recipe(path: Path) -> Recipe:
    """The recipe that a checkpoint was made with. Raises ValueError as `load` does."""
    return _recipe(path, _read_or_offer(path)[1])


def _recipe(path: Path, about: About) -> Recipe:
    try:
        return from_dict(about.recipe)
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
    if (its := _recipe(path, about).variant) != variant:
        raise ValueError(f"{path} is of the variant {its}, it cannot start one of {variant}")
    anew = [] if list(about.classes) == classes else weighted(model)[-1:]
    own = model.state_dict()
    try:
        model.load_state_dict({**state, **{name: own[name] for name in own if name.rpartition(".")[0] in anew}})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} does not fit: {error}") from None
    return anew


def numbered(folder: Path) -> dict[int, Path]:
    """The checkpoints 'step-….safetensors' of a folder by their step, the newest first."""
    found = {int(p.stem[5:]): p for p in folder.glob("step-*.safetensors") if p.stem[5:].isdecimal()}
    return dict(sorted(found.items(), reverse=True))


def _read_or_offer(path: Path) -> tuple[dict[str, Array], About]:
    """What `_read` gives. Raises ValueError with the newest checkpoint beside it that is whole, where there is one."""
    try:
        return _checked(path)
    except FileNotFoundError:
        raise ValueError(f"there is no checkpoint {path}") from None
    except ValueError as error:
        said = error if isinstance(error, Damaged) else Damaged(str(error))
    for other in [*numbered(path.parent).values(), *sorted(path.parent.glob("*.safetensors"))]:
        if not path.samefile(other) and _is_whole(other):
            raise ValueError(f"{said}; the checkpoint before it is whole: give {other}")
    raise said


def _is_whole(path: Path) -> bool:
    try:
        _checked(path)
    except ValueError:
        return False
    return True


def _checked(path: Path) -> tuple[dict[str, Array], About]:
    tensors, about = _read(path)
    try:
        return tensors, About.of(about)
    except ValueError as error:
        raise ValueError(f"{path} holds no run of ours: {error}") from None


def _read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and the metadata's `run`. Raises ValueError where it is damaged or no checkpoint."""
    if not path.is_file():
        raise FileNotFoundError(path)
    tensors, texts = read_tensors(path)
    if texts.get("format") not in READ or "run" not in texts:
        form = texts.get("format", "no format named")
        raise ValueError(f"{path} is a safetensors file, but not a checkpoint of ours ({FORMAT}; it has {form})")
    try:
        return tensors, json.loads(texts["run"])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} holds no run of ours: {error}") from None


def _sorted(tensors: dict[str, Array]) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """A checkpoint's arrays: the network's, the velocities by parameter, the pixels'."""
    velocity = {n.removeprefix("velocity."): a for n, a in tensors.items() if n.startswith("velocity.")}
    pixels = {n: a for n, a in tensors.items() if n.startswith("pixels.")}
    state = {n: a for n, a in tensors.items() if not n.startswith(("velocity.", "pixels."))}
    return state, velocity, pixels
