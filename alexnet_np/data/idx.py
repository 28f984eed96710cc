"""IDX files, the format of MNIST and Fashion-MNIST: four files, gzipped or not.

An IDX file starts with two zero bytes, a type code (8: unsigned byte) and the number of dimensions, then one
big-endian 32-bit length for each, then the data in C order.
"""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from ..backend import Array
from .dataset import InMemory, Split

FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle-boot"]
NAMES = {"train": "train", "test": "t10k"}
LENGTHS = {bytes([n]) for n in range(1, 5)}  # how many there are
MOST = 1100  # times what a file holds is what gzip makes of it at best


def read_idx(path: Path) -> Array:
    """The array of an IDX file of unsigned bytes. Raises ValueError, with the file's name, where it is not one."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            start = file.read(4)
            if start[:3] != b"\0\0\x08" or start[3:] not in LENGTHS:
                raise ValueError(f"{path} is not an IDX file of unsigned bytes")
            shape = tuple(map(int, np.frombuffer(file.read(4 * start[3]), ">u4")))
            if len(shape) != start[3] or prod(shape) > MOST * path.stat().st_size:
                raise ValueError(f"{path} says that it holds {shape}, and has {path.stat().st_size} bytes")
            content = file.read(prod(shape) + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is truncated, damaged or not gzipped: {error}") from None
    if len(content) != prod(shape):
        more = "more" if len(content) > prod(shape) else len(content)
        raise ValueError(f"{path} says that it holds {shape}, but has {more} bytes of data")
    return np.frombuffer(content, np.uint8).reshape(shape)


def find(folder: Path, kind: str) -> Path | None:
    """The file of a kind such as 'train-images-idx3', gzipped or not."""
    return next((p for p in (folder / f"{kind}-ubyte.gz", folder / f"{kind}-ubyte") if p.is_file()), None)


def load(folder: Path) -> Split:
    """The two parts in a folder with the four official files. Raises ValueError where one is missing or damaged."""
    parts = []
    for name in NAMES.values():
        paths = [find(folder, f"{name}-{kind}") for kind in ("images-idx3", "labels-idx1")]
        if None in paths:
            raise ValueError(f"{folder} lacks {name}-images-idx3-ubyte or {name}-labels-idx1-ubyte (.gz or not)")
        pixels, labels = (read_idx(path) for path in paths if path)
        if pixels.ndim != 3 or labels.shape != pixels.shape[:1] or len(labels) == 0:
            raise ValueError(f"{paths[0]} has images {pixels.shape}, {paths[1]} has labels {labels.shape}")
        parts.append((pixels[:, None], labels.astype(np.int64)))
    count = 1 + max(int(labels.max()) for _, labels in parts)
    if count < 2:
        raise ValueError(f"the labels in {folder} are all 0: one class only; at least two are needed")
    classes = FASHION if count == len(FASHION) and "fashion" in folder.name else list(map(str, range(count)))
    return Split(*(InMemory(pixels, labels, classes) for pixels, labels in parts))
