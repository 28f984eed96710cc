"""Tar shards: images packed into a few large files, as WebDataset does, each read in place by its offset.

A shard has members `key.jpg` beside `key.cls` (a class number in text), or `class/name.jpg`. Shards whose names say
`val`, `valid`, `validation` or `test` are held out; without one, every tenth image of a class is. `classes.txt` beside
the shards may name the classes of .cls files, one a line. Hidden members are passed over.
"""

import os
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from .dataset import Split
from .decode import SUFFIXES
from .files import Encoded, OnBadImage, is_hidden
from .folder import HELD_OUT, NAMES, same_classes

HELD_OUT_NAME = re.compile(rf"(^|[-_.])({'|'.join(NAMES)})([-_.]|$)")
CLASSES = "classes.txt"
MOST = 100_000  # classes; larger numbers are identifiers
LABEL = 32  # bytes of a .cls that are looked at
TAR_ERRORS = tarfile.TarError, ValueError, OverflowError, RecursionError  # what a damaged header ends in


class Member(NamedTuple):
    """Where an image is, and its class: a number from a .cls, or a folder's name."""

    shard: Path
    name: str
    offset: int
    size: int
    label: int | str


def find(root: Path) -> list[Path]:
    """The shards in a folder, sorted."""
    return sorted(p for p in root.glob("*.tar") if p.is_file() and not is_hidden(p.name))


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
    texts: dict[str, bytes] = {}
    rest: list[str] = []
    try:
        with tarfile.open(path, "r:") as archive:
            for member in _members(archive, path.stat().st_size):
                suffix = PurePosixPath(member.name).suffix.lower()
                if not member.isfile() or member.issparse():
                    others[f"{path}: {member.name}"] = "it is no plain file"
                elif suffix in SUFFIXES:
                    images[member.name] = member
                elif suffix == ".cls":
                    file = archive.extractfile(member)
                    texts[member.name] = file.read(LABEL) if file else b""
                else:
                    rest.append(member.name)
        if not _is_whole(path):
            raise tarfile.ReadError("the zeros at the end are missing")
    except TAR_ERRORS as error:
        raise ValueError(f"{path} is truncated, or no uncompressed tar file: {error}") from None
    if not images:
        raise ValueError(f"{path} holds no images ({', '.join(sorted(SUFFIXES))})")
    keys = {_key(name) for name in images}
    numbers = {_key(name): _number(path, name, text) for name, text in texts.items()}
    orphans = [n for n in rest if _key(n) not in keys] + [f"{key}.cls" for key in numbers if key not in keys]
    others.update({f"{path}: {name}": "it belongs to no image" for name in orphans})
    return [
        Member(path, name, image.offset_data, image.size, _label(path, name, numbers))
        for name, image in sorted(images.items())
    ]


def _members(archive: tarfile.TarFile, end: int) -> Iterator[tarfile.TarInfo]:
    """What a shard of `end` bytes holds but folders and what is hidden. Raises ReadError for sizes that cannot be."""
    reached = -1
    while member := archive.next():
        # A negative size leads back to an earlier header, for ever.
        if archive.offset <= reached or (member.isfile() and not 0 <= member.size <= end - member.offset_data):
            raise tarfile.ReadError(f"{member.name!r} cannot have {member.size} bytes")
        reached = archive.offset
        if not member.isdir() and not any(is_hidden(part) for part in PurePosixPath(member.name).parts):
            yield member


def _key(name: str) -> str:
    """What the members of a sample share: everything up to the first point of the file's name."""
    path = PurePosixPath(name)
    return str(path.parent / path.name.partition(".")[0])


def _number(path: Path, name: str, text: bytes) -> int:
    digits = text.strip()
    if not digits.isdigit() or int(digits) >= MOST:
        raise ValueError(f"{path}: {name} holds {text[:20]!r}, not a class number (0 … {MOST - 1:,})")
    return int(digits)


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
    classes = _names_in(listed) if listed.is_file() else list(map(str, range(count)))
    if count > len(classes):
        raise ValueError(f"a .cls in {root} says {count - 1}, but {listed} names {len(classes)} classes, from 0")
    return classes


def _names_in(path: Path) -> list[str]:
    """The class names of a text file, one a line. Raises ValueError where it is no UTF-8, or a name comes twice."""
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}") from None
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{path} names {twice[0]!r} twice")
    return names


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
