"""How many images a second the loader makes: python -m alexnet_np.benchmarks.loader FOLDER [--images 1024]

FOLDER has one folder of images for each class. It is first brought to a shorter side of 256, as `alexnet-np data
resize` does, in a folder that is removed afterwards. Then each row is timed: decoding by Pillow alone in one thread;
the loader (decoding, random 224 × 224 window, mirror image, mean, PCA colour) in 1, 2, … threads; augmentation
alone. The rows run in turn, round after round: median and range over the rounds. On a machine that is busy with other
things, CPU time is the fairer measure.
"""

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from alexnet_np import data
from alexnet_np.data.files import Files
from alexnet_np.data.resize import resize

BATCH = 64
ROUNDS = 5


def rows(images: Files) -> dict[str, Callable[[], object]]:
    """What is timed, by name; each goes through all images once."""
    count = len(images.labels)
    stored = data.subset(images, count)
    pixels = data.measure(stored, scale=False, crop=(224, 224), mirror=True, colour=0.1)

    def pillow() -> None:
        for path in images.paths:
            np.asarray(Image.open(io.BytesIO(Path(path).read_bytes())).convert("RGB"))

    def loader(threads: int) -> Callable[[], int]:
        return lambda: sum(len(b.x) for b in data.batches(images, pixels, BATCH, seed=0, epoch=0, threads=threads))

    def augmentation() -> None:
        for chosen in np.arange(count).reshape(-1, BATCH):
            pixels.train(stored.pixels[chosen], chosen, seed=0, epoch=0)

    return {
        "Pillow alone, 1 thread": pillow,
        **{f"loader, {n} thread{'s' * (n > 1)}": loader(n) for n in sorted({1, 2, os.cpu_count() or 1})},
        "augmentation alone, 1 thread": augmentation,
    }


def chosen(root: Path, count: int) -> Files:
    """A random choice of training images, in full batches, stored at 256 × 256."""
    images = data.load(str(root), (3, 224, 224), store=256).train
    if not isinstance(images, Files) or len(images.labels) < BATCH:
        raise ValueError(f"{root} must have at least {BATCH} images to train on, in files")
    order = np.random.default_rng(0).permutation(len(images.labels))[: max(1, count // BATCH) * BATCH]
    order = order[: len(order) // BATCH * BATCH]
    return replace(images, labels=images.labels[order], paths=[images.paths[i] for i in order])


def main(argv: list[str] | None = None) -> int:
    """The table. Exit code 2, and one line, for a folder that does not serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1024)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        try:
            resize(arguments.folder, Path(folder, "256"), threads=os.cpu_count() or 1)
            images = chosen(Path(folder, "256"), arguments.images)
        except (ValueError, OSError) as error:
            print(f"loader: {error}", file=sys.stderr)
            return 2
        timed = rows(images)
        wall: dict[str, list[float]] = {name: [] for name in timed}
        cpu: dict[str, list[float]] = {name: [] for name in timed}
        for _ in range(ROUNDS):
            for name, run in timed.items():
                began, spent = time.perf_counter(), time.process_time()
                run()
                wall[name].append(time.perf_counter() - began)
                cpu[name].append(time.process_time() - spent)
    count = len(images.labels)
    print(f"{count} JPEGs of shorter side 256, JPEG by {data.decoder()}, {os.cpu_count()} cores; images a second")
    print(f"{'':<30}{'by the clock':>24}{'of CPU time':>14}")
    for name in timed:
        slowest, middle, fastest = (count / pick(wall[name]) for pick in (max, median, min))
        print(f"{name:<30}{middle:>8,.0f} ({slowest:>5,.0f} …{fastest:>6,.0f}){count / median(cpu[name]):>14,.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
