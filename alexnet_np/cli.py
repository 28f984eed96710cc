"""The command line: one thin function for each subcommand.

An error that a user can cause ends in one line and exit code 2; `--debug` shows the traceback.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from .dispatch import NoKernel
from .train.recipe import Recipe

Flat = tyro.conf.arg(name="")


def info() -> None:
    """Show the backends, and which operation has kernels on which."""
    from .report import show_info

    show_info()


def demo(out: Path = Path("demo"), seed: int = 0) -> None:
    """Check gradients, train a small network on generated images, time the operations, and draw what was learned.

    Args:
        out: folder for the pictures and the checkpoint
        seed: of everything random
    """
    from .demo import run

    run(out, seed)


def train(recipe: Annotated[Recipe, Flat], out: Path | None = None, resume: bool = False) -> None:
    """Train a network; Ctrl-C ends after the step, and --resume goes on from there.

    Args:
        recipe: what to train, on what and how
        out: folder for last.safetensors and metrics.jsonl; runs/VARIANT unless given
        resume: go on from OUT/last.safetensors with the recipe it was made with (--epochs may grow)
    """
    from .report import train_visibly

    train_visibly(recipe, out or Path("runs") / recipe.variant, resume)


def data_resize(
    source: tyro.conf.Positional[Path],
    target: tyro.conf.Positional[Path],
    side: int = 256,
    quality: int = 90,
    threads: int = os.cpu_count() or 1,
    on_bad_image: Literal["error", "skip"] = "error",
) -> None:
    """Copy a folder of images, each with its shorter side brought to 256 once; an interrupted copy goes on.

    Args:
        source: folder with images in any folders below it; it is only read
        target: folder for the copy, with the same folders and names
        side: pixels of the shorter side
        quality: of the JPEG files, 1 … 95
        threads: how many work at once
        on_bad_image: end at an image that cannot be read, or leave it out and name it
    """
    from .report import resize_visibly

    resize_visibly(source, target, side, quality, threads, on_bad_image)


def data_fetch(
    name: tyro.conf.Positional[Literal["fashion-mnist", "cifar10"]], target: tyro.conf.Positional[Path]
) -> None:
    """Download a public set and check it against its published hashes.

    Args:
        name: which set
        target: folder for its files
    """
    from .data.fetch import fetch
    from .report import say

    for path in fetch(name, target):
        say(str(path))


DataCommand = Annotated[
    Annotated[None, tyro.conf.subcommand("resize", constructor=data_resize)]
    | Annotated[None, tyro.conf.subcommand("fetch", constructor=data_fetch)],
    Flat,
]


def data(done: DataCommand) -> None:
    """Prepare images: resize a folder once, fetch a public set."""


def evaluate(checkpoint: Path, data: str | None = None, batch: int = 128) -> None:
    """Evaluate a checkpoint on the held-out images: loss, top-1 and top-5.

    Args:
        checkpoint: a last.safetensors
        data: where the images are; those it was trained on unless given
        batch: images at a time
    """
    from .report import show_scores

    show_scores(checkpoint, data, batch)


def gradcheck(
    what: tyro.conf.Positional[str] = "all",
    dtype: Literal["float64", "float32"] = "float64",
    backend: str | None = None,
    seed: int = 0,
    elements: int | None = None,
    step: float | None = None,
    html: Path | None = None,
    json: Path | None = None,
) -> None:
    """Check gradients against differences and other judges: exit code 1 where one is wrong.

    Args:
        what: all, an operation, 'operation, case', a variant, or path/to/file.py:Layer (with a function example(random)
            for its input)
        dtype: precision of the arrays
        backend: whose kernels run; every one of the CPU for 'all', else the best, unless given
        seed: of everything random
        elements: how many of each array; a few hundred unless given, and fewer for a network
        step: one of the steps to try, as a share of an element; no verdict depends on it
        html: a page to write, with maps of the gradients and their errors
        json: a file to write, with everything in the report
    """
    from .gradient_check import How
    from .report import check_visibly

    if not check_visibly(what, How(dtype, backend, seed, elements, step), html, json):
        raise SystemExit(1)


COMMANDS: dict[str, Callable[..., Any]] = {
    "info": info,
    "demo": demo,
    "train": train,
    "data": data,
    "evaluate": evaluate,
    "gradcheck": gradcheck,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS, prog="alexnet-np", args=[a for a in arguments if a != "--debug"] or ["--help"]
        )
    except (ValueError, OSError, NoKernel) as error:
        if debug:
            raise
        print(f"alexnet-np: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("alexnet-np: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
