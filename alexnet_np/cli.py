"""The command line: one thin function for each subcommand.

An error that a user can cause ends in one line and exit code 2; `--debug` shows the traceback.
"""

import argparse
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import partial, wraps
from itertools import groupby
from pathlib import Path
from signal import SIGINT
from typing import Annotated, Any, Literal, cast

import tyro

from .acknowledge import acknowledged
from .arguments import gathered
from .dispatch import NoKernel
from .terminal import complain, take_any_text
from .train.interrupts import interrupts
from .train.recipe import Recipe
from .version import __version__

Flat = tyro.conf.arg(name="")


def _later(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the same arguments that returns the call, so that parsing and running are two things."""
    return wraps(function)(lambda *args, **options: partial(function, *args, **options))


def _threads(n: int | None) -> int:
    """The number of threads, after a choice on the command line is made everybody's."""
    from .parallel import set_threads, threads

    if n is not None:
        set_threads(n)
    return threads()


def _try(*outputs: Path | None) -> None:
    """Find out before long work whether files can be written; '-' is the terminal."""
    from .whole_files import try_writing

    for path in outputs:
        if path is not None and str(path) != "-":
            try_writing(path)


def _at_least(least: int, **numbers: int | None) -> None:
    """Raise ValueError for the first of a command's numbers that is below that."""
    for name, number in numbers.items():
        if number is not None and number < least:
            raise ValueError(f"{name} must be at least {least}, got {number}")


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

    _at_least(0, seed=seed)
    run(out, seed)


def train(
    settings: Annotated[Recipe, Flat],
    recipe: str | None = None,
    out: Path | None = None,
    resume: tuple[Path, ...] | None = None,
    print_recipe: bool = False,
    profile: Path | None = None,
    tensorboard: bool = False,
) -> None:
    """Train a network; Ctrl-C or SIGTERM ends after the step, and --resume goes on from there.

    Args:
        settings: what to train, on what and how
        recipe: a named recipe (paper, caffe, torchvision, cifar, fashion, demo) or a TOML file, under the flags
        out: folder for the checkpoints, metrics.jsonl and curves.png; runs/VARIANT unless given
        resume: go on from OUT/last.safetensors, or from the checkpoint given here, with its recipe (--epochs may grow)
        print_recipe: print the whole recipe as TOML, for --recipe, and train nothing
        profile: a file to write, with the timeline of the first 50 steps for ui.perfetto.dev; their times are printed
        tensorboard: write events to OUT/tensorboard as well (needs the extra: pip install 'alexnet-np[tensorboard]')
    """
    from .train import recipe_file

    if print_recipe:
        print(recipe_file.text(settings), end="")
        return
    from .report import train_visibly

    _try(profile)
    folder = out or (resume[0].parent if resume else Path("runs") / settings.variant)
    run = train_visibly(settings, folder, _checkpoint(resume, folder), profile, tensorboard)
    if run.stopped:
        raise SystemExit(128 + run.stopped)


def _checkpoint(resume: Sequence[Path] | None, folder: Path) -> Path | None:
    """What is resumed from, if anything."""
    from .train.series import newest

    if resume is not None and len(resume) > 1:
        raise ValueError(f"--resume takes one checkpoint, got {' '.join(map(str, resume))}")
    return None if resume is None else Path(resume[0]) if resume else newest(folder)


def _underlying(arguments: Sequence[str]) -> Recipe:
    """The recipe that the flags of `train` are laid over: the named one, else that of the checkpoint to resume."""
    from .train import checkpoint, recipe_file

    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag, values in (("--recipe", "?"), ("--out", "?"), ("--variant", "?"), ("--resume", "*")):
        peek.add_argument(flag, nargs=values)
    seen = peek.parse_known_args(arguments)[0]
    if seen.recipe or seen.resume is None:
        return recipe_file.find(seen.recipe) if seen.recipe else Recipe()
    path = _checkpoint(seen.resume, Path(seen.out or Path("runs") / (seen.variant or Recipe.variant)))
    assert path is not None
    return checkpoint.read_recipe(path)


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

    _at_least(1, side=side, threads=threads)
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
    from .terminal import say

    for path in fetch(name, target):
        say(str(path))


DataCommand = Annotated[
    Annotated[None, tyro.conf.subcommand("resize", constructor=_later(data_resize))]
    | Annotated[None, tyro.conf.subcommand("fetch", constructor=_later(data_fetch))],
    Flat,
]


def data(what: DataCommand) -> None:
    """Prepare images: resize a folder once, fetch a public set."""
    cast(Callable[[], None], what)()


def evaluate(
    checkpoint: Path,
    data: str | None = None,
    crops: Literal[1, 10] = 1,
    json: Path | None = None,
    confusion: Path | None = None,
    batch: int = 128,
    threads: int | None = None,
    on_bad_image: Literal["error", "skip"] = "error",
) -> None:
    """Evaluate a checkpoint on the held-out images: loss, top-1, top-5, and each class.

    Args:
        checkpoint: a last.safetensors
        data: where the images are; those it was trained on unless given
        crops: 1: the centre; 10: the corners, the centre and their mirror images, averaged as in the paper
        json: a file to write, with everything; - writes it to the terminal instead of the table
        confusion: a picture to write (.png, .pdf, …): which classes are taken for which
        batch: crops that go through the network at a time
        threads: threads that compute, and as many that decode images; ALEXNET_THREADS or all CPUs unless given
        on_bad_image: stop at an image that cannot be read, or leave it out and name it
    """
    from .results import show_scores

    _at_least(1, batch=batch)
    _try(json, confusion)
    show_scores(
        checkpoint,
        data,
        crops=crops,
        batch=batch,
        threads=_threads(threads),
        skip=on_bad_image == "skip",
        json_file=json,
        picture=confusion,
    )


def predict(
    images: tyro.conf.Positional[tuple[str, ...]],
    checkpoint: Path,
    top: int = 5,
    crops: Literal[1, 10] = 1,
    json: Path | None = None,
    batch: int = 64,
    threads: int | None = None,
) -> None:
    """Name the most probable classes of pictures.

    Args:
        images: files, folders, or - for a list on standard input, one a line
        checkpoint: a last.safetensors
        top: how many classes to name
        crops: 1: the centre; 10: the corners, the centre and their mirror images, averaged as in the paper
        json: a file to write; - writes it to the terminal instead of the list
        batch: crops that go through the network at a time
        threads: threads that compute, and as many that decode images; ALEXNET_THREADS or all CPUs unless given
    """
    from .results import show_predictions

    _at_least(1, top=top, batch=batch)
    _try(json)
    show_predictions(checkpoint, images, top=top, crops=crops, batch=batch, threads=_threads(threads), json_file=json)


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

    _at_least(1, elements=elements)
    _at_least(0, seed=seed)
    _try(html, json)
    if not check_visibly(what, How(dtype, backend, seed, elements, step), html, json):
        raise SystemExit(1)


def study(
    images: tyro.conf.Positional[tuple[Path, ...]] = (),
    element: tuple[str, ...] = (),
    summary: bool = False,
    trace: bool = False,
    variant: str = "mini",
    checkpoint: Path | None = None,
    label: int | None = None,
    terms: int = 12,
    out: Path | None = None,
    near: Path | None = None,
    seed: int = 0,
) -> None:
    """Tell where numbers of a training step come from: every contribution, by the formula of the layer.

    Args:
        images: pictures to do the step on; one of random numbers unless given
        element: which numbers, such as conv2.dx[0,5,3,3], fc8.dweight[2,7] or 'loss.y[]'
        summary: the network as a map: shapes, parameters, multiply-adds, memory, and times of this step
        trace: the largest contributions on through the layers, up to the loss or down to the images
        variant: the network, with weights as they are drawn
        checkpoint: a last.safetensors, in place of a variant
        label: number of the right class; what the network takes the images for unless given
        terms: how many contributions to show
        out: a page to write (.html), in which everything can be clicked, for one image
        near: a folder of images; the page shows those whose last hidden layer is nearest to the image's
        seed: of weights and random numbers
    """
    from .study.command import show

    _at_least(1, terms=terms)
    _at_least(0, seed=seed, label=label)
    _try(out)
    show(
        images,
        variant=variant,
        path=checkpoint,
        elements=element,
        summary=summary,
        trace=trace,
        terms=terms,
        label=label,
        seed=seed,
        out=out,
        near=near,
    )


def bench(
    files: tyro.conf.Positional[tuple[Path, ...]] = (),
    only: tuple[Literal["ops", "steps", "inference"], ...] = ("steps", "inference", "ops"),
    variants: tuple[str, ...] = (),
    batches: tuple[int, ...] = (),
    ops: tuple[str, ...] = (),
    seconds: float = 2.0,
    rounds: int | None = None,
    threads: int | None = None,
    peers: bool = True,
    out: Path | None = None,
    resume: Path | None = None,
    again: float = 0.0,
    table: Path | None = None,
    compare: tuple[Path, Path] | None = None,
) -> None:
    """Time operations, training steps and inference beside PyTorch and the machine's roofs; or kernels of your own.

    Args:
        files: files of your own that register kernels: conformance, speed, share of the roof and ratio to ours; exit
            code 1 where one is wrong
        only: which parts; all unless given
        variants: which networks; paper, torchvision, torch and keras unless given, of operations paper and torchvision
        batches: images at a time; 32 and 128 for training, 1, 32 and 128 for inference, 128 for operations unless given
        ops: only these operations
        seconds: to spend on a row, in at least five rounds in which everything runs once
        rounds: so many rounds instead
        threads: of ours and of PyTorch; ALEXNET_THREADS or all CPUs unless given
        peers: whether PyTorch takes part
        out: the record to write, pictures beside it; a name with machine and date in benchmarks/results unless given
        resume: go on with this record of this machine; rows that it has stay as they are
        again: but for those whose roofs stayed below this share of the record's highest, since others used the machine;
            of both measurements the one with the higher roofs is kept
        table: show this record, and time nothing
        compare: two records: what is the SAME, FASTER, SLOWER or UNCLEAR in the second
    """
    from .benchmarks import bench as benchmark
    from .benchmarks import command

    wanted = benchmark.Wanted(only, variants, batches, ops, seconds, rounds, peers)
    _threads(threads)
    if table:
        command.show(table)
    elif compare:
        command.show_comparison(*compare)
    elif not files:
        command.measure(wanted, out, resume, again)
    elif not command.show_kernels(files, wanted):
        raise SystemExit(1)


def emulate(
    file: tyro.conf.Positional[Path],
    kernel: tyro.conf.Positional[str] = "",
    grid: tuple[int, ...] = (1,),
    block: tuple[int, ...] = (32,),
    args: tuple[str, ...] = (),
    shared: int = 0,
    seed: int = 0,
) -> None:
    """Run a CUDA C++ kernel on the CPU, in several orders of its threads, and say what is wrong with it.

    Args:
        file: a .cu file; alone, its kernels are listed
        kernel: the kernel, as 'name' or 'name<float>'; exit code 1 where something is wrong
        grid: blocks, up to three numbers
        block: threads of a block, up to three numbers
        args: what the kernel takes: 'float32[8,100]' (random), 'float32[100]=0', '5', 'int64:5' or 'float32:0.5'
        shared: bytes of dynamic shared memory
        seed: of the random numbers
    """
    from .kernels.emulator import command

    _at_least(1, grid=min(grid, default=None), block=min(block, default=None))
    _at_least(0, shared=shared, seed=seed)
    lines, right = (
        command.told(file, kernel, grid, block, args, shared, seed) if kernel else (command.listed(file), True)
    )
    print(*lines, sep="\n")
    if not right:
        raise SystemExit(1)


COMMANDS: dict[str, Callable[..., Any]] = {
    "info": info,
    "demo": demo,
    "train": train,
    "data": data,
    "evaluate": evaluate,
    "predict": predict,
    "gradcheck": gradcheck,
    "study": study,
    "bench": bench,
    "emulate": emulate,
}


def _parsed(arguments: Sequence[str]) -> Callable[[], Any]:
    """The subcommand with its arguments. Raises ValueError, in one line, for what it cannot take; --help exits."""

    command = arguments[0]
    if command == "--version":
        return partial(print, f"alexnet-np {__version__}")
    if command not in COMMANDS and not command.startswith("-"):
        raise ValueError(f"there is no command {command!r}; the commands are {', '.join(COMMANDS)}")
    if command in COMMANDS:
        arguments = gathered(arguments, COMMANDS[command], Recipe)
    commands = {name: _later(function) for name, function in COMMANDS.items()}
    if command == "train":
        commands["train"] = partial(commands["train"], settings=_underlying(arguments))
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            call: Callable[[], Any] = tyro.extras.subcommand_cli_from_dict(
                commands, prog="alexnet-np", args=list(arguments)
            )
    except SystemExit as ended:
        if not ended.code:
            raise
        # The parser says it in a box: a title, what is wrong, a rule, where there is more to read.
        lines = [line.strip(" │─") for line in said.getvalue().splitlines()[1:]]
        parts = [" ".join(part) for ruled, part in groupby(lines, lambda line: not line.strip("-╰╯")) if not ruled]
        place = "" if command.startswith("-") else f"{command} "
        raise ValueError(f"{parts[0].rstrip('.')}; see alexnet-np {place}--help") from None
    return call


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit code, 128 + its number where a signal ended it: 130 for Ctrl-C, 143, 129."""
    take_any_text()
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # several lines where it can keep no cache, and works on
    try:
        with acknowledged(), interrupts(at_once=True):
            _parsed([a for a in arguments if a != "--debug"] or ["--help"])()
    except (ValueError, OSError, NoKernel) as error:
        if debug:
            raise
        complain(error)
        return 2
    except KeyboardInterrupt as interrupt:
        complain("interrupted")
        return 128 + (interrupt.args[0] if interrupt.args else SIGINT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
