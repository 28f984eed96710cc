"""Tar shards: images packed into a few large files, as WebDataset does, each read in place by its offset.

A shard has members `key.jpg` beside `key.cls` (a class number in text), or `class/name.jpg`. Shards whose names say
`val`, `validation` or `test` are held out; without one, every tenth image of a class is. `classes.txt` beside the
shards may name the classes of .cls files, one a line.
"""

import os
import re
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from .dataset import Split
from .decode import SUFFIXES
from .files import Encoded, OnBadImage
from .folder import HELD_OUT, same_classes

HELD_OUT_NAME = re.compile(r"(^|[-_.])(val|validation|test)([-_.]|$)")
CLASSES = "classes.txt"


class Member(NamedTuple):
    """Where an image is, and its class: a number from a .cls, or a folder's name."""

    shard: Path
    name: str
    offset: int
    size: int
    label: int | str


def find(root: Path) -> list[Path]:
    """The shards in a folder, sorted."""
    return sorted(p for p in root.glob("*.tar") if p.is_file() and not p.name.startswith("."))


def load(root: Path, shape: tuple[int, int, int], on_bad_image: OnBadImage = "error") -> Split:
    """Both parts, with images stored as `shape` (C, H, W).

    Raises ValueError for a shard that is truncated, no tar or without images, for an image without a class, a single
    class, and parts with different classes.
    """
    others: tuple[dict[str, str], dict[str, str]] = {}, {}
    found: tuple[list[Member], list[Member]] = [], []
    for path in find(root):
        part = bool(HELD_OUT_NAME.search(path.stem))
        found[part].extend(index(path, others[part]))
    train, held_out = found
    if not train:
        raise ValueError(f"all shards in {root} are named as held-out ones; name those to train on train-….tar")
    if not held_out:
        train, held_out = _split(train)
    classes = _classes(root, train, held_out)
    number = {name: i for i, name in enumerate(classes)}
    parts = []
    for members, rest in zip((train, held_out), others, strict=True):
        labels = np.array([m.label if isinstance(m.label, int) else number[m.label] for m in members])
        parts.append(Shards(labels, classes, shape, on_bad_image, rest, members=members))
    return Split(*parts)


def index(path: Path, others: dict[str, str]) -> list[Member]:
    """The images of one shard, by name; members that belong to none are added to `others`: name -> reason."""
    images: dict[str, tarfile.TarInfo] = {}
    numbers: dict[str, int] = {}
    rest: list[str] = []
    try:
        with tarfile.open(path, "r:") as archive:
            for member in filter(tarfile.TarInfo.isfile, archive):
                suffix = PurePosixPath(member.name).suffix.lower()
                if suffix in SUFFIXES:
                    images[member.name] = member
                elif suffix == ".cls":
                    numbers[_key(member.name)] = _number(archive, member, path)
                else:
                    rest.append(member.name)
        if not _is_whole(path):
            raise tarfile.ReadError("the zeros at the end are missing")
    except tarfile.TarError as error:
        raise ValueError(f"{path} is truncated, or no uncompressed tar file: {error}") from None
    if not images:
        raise ValueError(f"{path} holds no images ({', '.join(sorted(SUFFIXES))})")
    keys = {_key(name) for name in images}
    orphans = [n for n in rest if _key(n) not in keys] + [f"{key}.cls" for key in numbers if key not in keys]
    others.update({f"{path}: {name}": "it belongs to no image" for name in orphans})
    return [
        Member(path, name, image.offset_data, image.size, _label(path, name, numbers))
        for name, image in sorted(images.items())
    ]


def _key(name: str) -> str:
    """What the members of a sample share: everything up to the first point of the file's name."""
    path = PurePosixPath(name)
    return str(path.parent / path.name.partition(".")[0])


def _number(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> int:
    file = archive.extractfile(member)
    text = file.read() if file else b""
    if not text.strip().isdigit():
        raise ValueError(f"{path}: {member.name} holds {text[:20]!r}, not a class number")
    return int(text)


def _label(path: Path, name: str, numbers: dict[str, int]) -> int | str:
    label = numbers.get(_key(name), PurePosixPath(name).parent.name)
    if label == "":
        raise ValueError(f"{path}: {name} has neither a .cls beside it nor a class folder around it")
    return label


def _is_whole(path: Path) -> bool:
    """Whether the file ends in a block of zeros: one that was cut off between two members looks right otherwise."""
    with path.open("rb") as file:
        file.seek(-tarfile.BLOCKSIZE, os.SEEK_END)
        return not file.read().strip(b"\0")


def _split(members: list[Member]) -> tuple[list[Member], list[Member]]:
    """Every tenth image of each class is held out."""
    seen: Counter[int | str] = Counter()
    parts: tuple[list[Member], list[Member]] = [], []
    for member in members:
        parts[seen[member.label] % HELD_OUT == 0].append(member)
        seen[member.label] += 1
    if short := [label for label, count in seen.items() if count < 2]:
        raise ValueError(f"class {short[0]} has one image; two are needed, one to train on and one to hold out")
    return parts


def _classes(root: Path, train: list[Member], held_out: list[Member]) -> list[str]:
    """The names of the classes: sorted folders, the lines of classes.txt, or numbers."""
    first, second = ({m.label for m in members} for members in (train, held_out))
    names = [label for label in first | second if isinstance(label, str)]
    if names and len(names) < len(first | second):
        raise ValueError(f"{root}: some images have a .cls beside them, others a class folder around them")
    if len(first) < 2:
        raise ValueError(f"the shards in {root} have one class; at least two are needed")
    if names:
        same_classes(
            "the training shards", dict.fromkeys(map(str, first)), "the held-out ones", dict.fromkeys(map(str, second))
        )
        return sorted(names)
    listed = root / CLASSES
    count = 1 + max(int(label) for label in first | second)
    classes = listed.read_text().splitlines() if listed.is_file() else list(map(str, range(count)))
    if count > len(classes):
        raise ValueError(f"a .cls in {root} says {count - 1}, but {listed} names {len(classes)} classes, from 0")
    return classes


@dataclass(frozen=True, kw_only=True)
class Shards(Encoded):
    """Images in tar files."""

    members: Sequence[Member] = field(repr=False)

    def name(self, index: int) -> str:
        return f"{self.members[index].shard}: {self.members[index].name}"

    def content(self, index: int) -> bytes:
        member = self.members[index]
        with member.shard.open("rb") as file:
            file.seek(member.offset)
            return file.read(member.size)
