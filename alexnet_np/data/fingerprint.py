"""Are these the images of before? Names, sizes, labels and order in a few numbers, without decoding any."""

import os
from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

import numpy as np

from .dataset import Dataset, InMemory, Split
from .files import Files
from .shards import Shards

PARTS = {"train": "the training images", "test": "the held-out images"}


def fingerprint(split: Split) -> dict[str, Any]:
    """What `changes` compares: for each part of a source a number or checksum of each kind, as JSON takes it.

    Of files it has the names below their common folder, so that a set may be moved, and the sizes, a few microseconds
    each; of images in memory the pixels.
    """
    return {name: _of(part) for name, part in zip(PARTS, split, strict=True)}


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A sentence for each part that is another now."""
    said = []
    for part, name in PARTS.items():
        one, other = before.get(part, {}), now[part]
        what = [_difference(key, one, other) for key in other if key in one and one[key] != other[key]]
        if one.keys() != other.keys():
            what = ["another kind of source"]
        elif "names" in other and one["names"] != other["names"]:
            what = [w for w in what if w != "another order"]  # which follows
        if what:
            said.append(f"{name} have changed: {', '.join(what)}")
    return said


def _difference(key: str, before: dict[str, Any], now: dict[str, Any]) -> str:
    counted = f"{now[key]:,} for {before[key]}" if isinstance(now[key], int) else ""
    return {
        "images": f"{counted} images",
        "bytes": f"{counted} bytes",
        "names": "other names",
        "order": "another order",
        "labels": "other labels",
        "sizes": "other sizes of files",
        "pixels": "other pixels",
    }[key]


def _of(data: Dataset) -> dict[str, Any]:
    found: dict[str, Any] = {"images": len(data.labels), "labels": crc32(np.asarray(data.labels, np.int64).tobytes())}
    if isinstance(data, InMemory):
        return {**found, "pixels": crc32(np.ascontiguousarray(data.pixels).tobytes())}
    if isinstance(data, Files):
        names, sizes = _below(data.paths), [_size(path) for path in data.paths]
    elif isinstance(data, Shards):
        names = [f"{member.shard.name}: {member.name}" for member in data.members]
        sizes = [member.size for member in data.members]
    else:  # a set of the caller's own kind
        return found
    known = {"names": _sum(sorted(names)), "order": _sum(names), "sizes": _sum(map(str, sizes)), "bytes": sum(sizes)}
    return {**found, **known}


def _below(paths: Sequence[str]) -> list[str]:
    """The paths below the folder that all of them are in."""
    if not paths:
        return []
    folder = os.path.commonpath([os.path.dirname(path) for path in (min(paths), max(paths))])
    return [path[len(folder) :] for path in paths]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # it counts as a bad image when it is read
        return 0


def _sum(texts: Iterable[str]) -> int:
    return crc32(b"\0".join(map(os.fsencode, texts)))
