"""A folder per class: `root/train/<class>/*.jpg` beside `root/val/…`, or class folders right in the root.

Images of any size and mode are decoded on demand: the shorter side to the wanted one, then the centre.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..backend import Array
from .dataset import Split

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
HELD_OUT = 10  # where there is no split, every tenth image of a class is held out
THREADS = 2


def class_folders(root: Path) -> list[Path]:
    """The folders right below `root`, sorted by name: one for each class."""
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def load(root: Path, shape: tuple[int, int, int]) -> Split:
    """Both parts of a root, with images of `shape` (C, H, W). Raises ValueError where there are no images."""
    train = root / "train"
    held_out = next((root / name for name in ("val", "test") if (root / name).is_dir()), None)
    if train.is_dir() and held_out:
        first, second = _listed(train), _listed(held_out)
        if first.keys() != second.keys():
            raise ValueError(f"{train} and {held_out} have different classes: {sorted(first.keys() ^ second.keys())}")
    else:
        everything = _listed(train if train.is_dir() else root)
        first = {name: [p for i, p in enumerate(paths) if i % HELD_OUT] for name, paths in everything.items()}
        second = {name: paths[::HELD_OUT] for name, paths in everything.items()}
    return Split(_dataset(first, shape), _dataset(second, shape))


def _listed(root: Path) -> dict[str, list[Path]]:
    found = {p.name: sorted(f for f in p.iterdir() if f.suffix.lower() in SUFFIXES) for p in class_folders(root)}
    if empty := [name for name, paths in found.items() if not paths]:
        raise ValueError(f"{root / empty[0]} holds no images ({', '.join(sorted(SUFFIXES))})")
    if len(found) < 2:
        raise ValueError(f"{root} has {len(found)} class folder(s); at least two are needed")
    return found


def _dataset(found: dict[str, list[Path]], shape: tuple[int, int, int]) -> "Folder":
    paths = [path for of_class in found.values() for path in of_class]
    labels = np.repeat(np.arange(len(found)), [len(of_class) for of_class in found.values()])
    return Folder(paths, labels, list(found), shape)


def decode(path: Path, shape: tuple[int, int, int]) -> Array:
    """One image as uint8 `shape` (C, H, W). Raises ValueError, with its name, where it cannot be read."""
    channels, height, width = shape
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):  # 16 bits, which convert() would cut off at 255
                image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
            image = image.convert("RGB" if channels == 3 else "L")
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{path} cannot be read as an image: {error}") from None
    image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) if channels == 3 else pixels[None]


@dataclass(frozen=True)
class Folder:
    """Images in files, decoded when asked for."""

    paths: Sequence[Path] = field(repr=False)
    labels: Array = field(repr=False)
    classes: Sequence[str]
    shape: tuple[int, int, int]

    def images(self, indices: Array) -> Array:
        with ThreadPoolExecutor(THREADS) as pool:
            return np.stack(list(pool.map(lambda i: decode(self.paths[i], self.shape), indices)))
