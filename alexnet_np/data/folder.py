"""A folder per class: `root/train/<class>/*.jpg` beside `root/val/…`, or class folders in the root.

The held-out part may be called `val`, `valid`, `validation` or `test`; the first of these that there is serves.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .dataset import Split
from .decode import SUFFIXES
from .files import Files, OnBadImage, images_in, is_hidden

NAMES = "val", "valid", "validation", "test"
HELD_OUT = 10  # where there is no split, every tenth image of a class is held out


def class_folders(root: Path) -> list[Path]:
    """The folders right below `root`, sorted by name: one for each class."""
    return sorted(p for p in root.iterdir() if p.is_dir() and not is_hidden(p.name))


def held_out(root: Path) -> Path | None:
    """The folder of the held-out images."""
    return next((root / name for name in NAMES if (root / name).is_dir()), None)


def load(root: Path, shape: tuple[int, int, int], on_bad_image: OnBadImage = "error") -> Split:
    """Both parts of a root, with images stored as `shape` (C, H, W).

    Raises ValueError for a class without images, a single class, and parts with different classes.
    """
    train, other = root / "train", held_out(root)
    others: tuple[dict[str, str], dict[str, str]] = {}, {}
    if train.is_dir() and other:
        first, second = listed(train, others[0]), listed(other, others[1])
        same_classes(train, first, other, second)
    else:
        place = train if train.is_dir() else root
        everything = listed(place, others[0])
        if short := [name for name, paths in everything.items() if len(paths) < 2]:
            raise ValueError(f"{place / short[0]} has one image; two are needed, one to train on and one to hold out")
        first = {name: [p for i, p in enumerate(paths) if i % HELD_OUT] for name, paths in everything.items()}
        second = {name: paths[::HELD_OUT] for name, paths in everything.items()}
    return Split(
        *(dataset(part, shape, on_bad_image, rest) for part, rest in zip((first, second), others, strict=True))
    )


def listed(root: Path, others: dict[str, str]) -> dict[str, list[str]]:
    """The images of each class folder; what else lies there is added to `others`: name -> reason."""
    found = {}
    for link in sorted(p for p in root.iterdir() if p.is_symlink() and not p.exists() and not is_hidden(p.name)):
        others[str(link)] = "it is a link that leads nowhere"
    for place in class_folders(root):
        found[place.name], more = images_in(place)
        others.update(more)
        if not found[place.name]:
            raise ValueError(f"{place} holds no images ({', '.join(sorted(SUFFIXES))})")
    if len(found) < 2:
        raise ValueError(f"{root} has {len(found)} class folder(s); at least two are needed")
    return found


def same_classes(place: object, one: Mapping[str, object], where: object, other: Mapping[str, object]) -> None:
    """Raises ValueError where two parts have different classes."""
    if different := sorted(one.keys() ^ other.keys()):
        shown = ", ".join(different[:5]) + (f" and {len(different) - 5} more" if len(different) > 5 else "")
        raise ValueError(f"{place} and {where} have different classes: {shown} in one of them only")


def dataset(
    found: Mapping[str, list[str]], shape: tuple[int, int, int], on_bad_image: OnBadImage, others: dict[str, str]
) -> Files:
    """The images of all classes as one set; `others` are those of its files that are no images."""
    paths = [path for of_class in found.values() for path in of_class]
    labels = np.repeat(np.arange(len(found)), [len(of_class) for of_class in found.values()])
    return Files(labels, list(found), shape, on_bad_image, others, paths=paths)
