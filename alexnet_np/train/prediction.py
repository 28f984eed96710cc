"""What is in a picture: the most probable classes of image files."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..backend import Array
from ..data import Pixels
from ..data.decode import SUFFIXES, decode
from ..data.files import below, content_of
from ..data.loader import prefetch
from ..network import Sequential
from .evaluation import Crops, Outputs, crop, log_probabilities

Read = tuple[str, Array | None, str | None]  # an image's name and its pixels, or why it could not be read


class Prediction(NamedTuple):
    """The most probable classes of an image and their probabilities, best first; none and the reason where it could
    not be read."""

    image: str
    top: list[tuple[str, float]]
    error: str | None = None

    def json(self) -> dict[str, Any]:
        if self.error:
            return {"image": self.image, "error": self.error}
        return {"image": self.image, "top": [{"class": name, "probability": p} for name, p in self.top]}


def predict(
    model: Sequential,
    pixels: Pixels,
    classes: Sequence[str],
    names: Iterable[str],
    *,
    top: int = 5,
    crops: Crops = 1,
    batch: int = 64,
    threads: int = 1,
) -> Iterator[Prediction]:
    """A prediction for each image file, in order; one that cannot be read takes nothing from the others.

    Images are decoded in `threads` threads ahead, and `batch` crops go through the network at a time. Raises ValueError
    at once for a `top` or `batch` below 1, and where an output is not finite, and for ten crops of a network whose
    images are stored no larger than it takes them.
    """
    if top < 1 or batch < 1:
        raise ValueError(f"top and batch must be at least 1, got {top} and {batch}")
    names, size = list(names), max(1, batch // crops)
    channels, height, width = pixels.mean.shape
    run = Outputs(model, crops * size, len(names) // size)

    def read(name: str) -> Read:
        try:
            return name, decode(content_of(name), name, (channels, height, width)), None
        except OSError as error:
            return name, None, f"{name} cannot be read: {error.strerror}"
        except ValueError as error:
            return name, None, str(error)

    def prepare(first: int) -> tuple[list[Read], Array]:
        found = [read(name) for name in names[first : first + size]]
        pictures = [image for _, image, _ in found if image is not None]
        return found, crop(pixels, np.stack(pictures), crops) if pictures else None

    def predictions() -> Iterator[Prediction]:
        for (found, x), _ in prefetch(prepare, range(0, len(names), size), threads):
            rows = iter(() if x is None else np.exp(log_probabilities(run, x)))
            for name, image, error in found:
                if image is None:
                    yield Prediction(name, [], error)
                else:
                    p = next(rows)
                    best = np.argsort(-p, kind="stable")[:top]
                    yield Prediction(name, [(classes[k], float(p[k])) for k in best])

    return predictions()


def image_files(arguments: Iterable[str], lines: Iterable[str] = ()) -> list[str]:
    """The image files that arguments name: files as they are, a folder's images (those in its folders too) by name.

    What is hidden in a folder is passed over. lines: what '-' among the arguments stands for, a file or folder in each.
    Raises ValueError for a folder without images, and where nothing is named at all.
    """
    given = [name for a in arguments for name in (lines if a == "-" else [a])]
    files: list[str] = []
    for name in filter(None, (name.rstrip("\r\n") for name in given)):
        if Path(name).is_dir():
            inside = [path for path, why in below(str(Path(name))) if why is None]
            if not inside:
                raise ValueError(f"{name} holds no images ({', '.join(sorted(SUFFIXES))})")
            files += inside
        else:
            files.append(name)
    if not files:
        raise ValueError("there is no image to predict; name files or folders, or - and list them on standard input")
    return files
