"""The ILSVRC-2012 layout: train/<synset>/*.JPEG, and val/*.JPEG in one folder with the devkit's ground truth.

Line i of ILSVRC2012_validation_ground_truth.txt is the ILSVRC2012_ID of the i-th validation image in the order of the
names. An ID is not a class number: classes are numbered by the sorted names of their synsets, so it is mapped
ILSVRC2012_ID → WNID → place among the sorted synsets. The first step is in the devkit's meta.mat, which needs SciPy
(the extra `ilsvrc`); or in a text file ILSVRC2012_ids.txt with a line `ILSVRC2012_ID WNID` for each class.
"""

import re
from pathlib import Path

import numpy as np

from .dataset import Split
from .files import Files, OnBadImage, images_in
from .folder import class_folders, dataset, listed
from .meta_mat import read_meta

GROUND_TRUTH, META, IDS = "ILSVRC2012_validation_ground_truth.txt", "meta.mat", "ILSVRC2012_ids.txt"
DEVKIT = [Path(place, part) for place in ("", "devkit", "ILSVRC2012_devkit_t12", "val") for part in ("", "data")]


def find(root: Path) -> bool:
    """Whether there are class folders in train, and validation images in one folder."""
    train, val = root / "train", root / "val"
    return train.is_dir() and val.is_dir() and not class_folders(val) and bool(images_in(val)[0])


def load(root: Path, shape: tuple[int, int, int], on_bad_image: OnBadImage = "error") -> Split:
    """Both parts, with images stored as `shape` (C, H, W). Raises ValueError where the devkit does not fit them."""
    others: dict[str, str] = {}
    found = listed(root / "train", others)
    paths, more = images_in(root / "val")
    truth, ids = _devkit(root)
    synsets = read_ids(ids)
    numbers = read_ground_truth(truth)
    if len(numbers) != len(paths):
        raise ValueError(f"{truth} has {len(numbers)} lines, but {root / 'val'} has {len(paths)} images")
    if unknown := sorted(set(numbers) - synsets.keys()):
        raise ValueError(f"{truth} names the ILSVRC2012_ID {unknown[0]}, which {ids} does not have")
    place = {synset: i for i, synset in enumerate(found)}
    if missing := sorted({synsets[n] for n in numbers} - place.keys()):
        raise ValueError(
            f"{truth} has images of the synset {missing[0]}, for which there is no {root / 'train'} folder"
        )
    labels = np.array([place[synsets[n]] for n in numbers])
    val = Files(labels, list(found), shape, on_bad_image, more, paths=paths)
    return Split(dataset(found, shape, on_bad_image, others), val)


def _devkit(root: Path) -> tuple[Path, Path]:
    """The ground truth, and the file that says which synset an ID is."""
    places = [root / part for part in DEVKIT]
    truth = next((p / GROUND_TRUTH for p in places if (p / GROUND_TRUTH).is_file()), None)
    ids = next((p / name for name in (IDS, META) for p in places if (p / name).is_file()), None)
    if truth is None or ids is None:
        lacking = GROUND_TRUTH if truth is None else f"{META} (or {IDS})"
        raise ValueError(
            f"{root / 'val'} has no class folders, so the devkit's {lacking} is needed in {root / 'devkit'}"
        )
    return truth, ids


def read_ground_truth(path: Path) -> list[int]:
    """An ILSVRC2012_ID from each line."""
    try:
        return [int(line) for line in path.read_text(encoding="utf-8").split()]
    except ValueError as error:
        raise ValueError(f"{path} is not a list of numbers: {error}") from None


def read_ids(path: Path) -> dict[int, str]:
    """WNID of each ILSVRC2012_ID, from meta.mat or from lines `ILSVRC2012_ID WNID`. Raises ValueError with the file."""
    if path.suffix == ".mat":
        return _read_meta(path)
    synsets: dict[int, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}") from None
    for number, words in enumerate(map(str.split, lines), 1):
        if words and (len(words) < 2 or not re.fullmatch("[0-9]{1,9}", words[0])):
            raise ValueError(f"{path}, line {number}: {lines[number - 1][:80]!r} is not `ILSVRC2012_ID WNID`")
        if words:
            synsets[int(words[0])] = words[1]
    return synsets


def _read_meta(path: Path) -> dict[int, str]:
    try:
        return read_meta(path)
    except ImportError:
        raise ValueError(
            f"reading {path} needs SciPy: pip install alexnet-np[ilsvrc]; or put {IDS} beside it, a text file "
            "with a line `ILSVRC2012_ID WNID` for each class"
        ) from None
