"""CIFAR-10 in its two official forms: binary batches (.bin) and Python batches (pickles).

A binary record is one label byte and 3 × 32 × 32 pixel bytes.
"""

from pathlib import Path

import numpy as np

from ..backend import Array
from . import cifar10_pickle
from .dataset import InMemory, Split

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FOLDERS = "cifar-10-batches-bin", "cifar-10-batches-py"
RECORD = 1 + 3 * 32 * 32
BATCHES = [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]


def find(folder: Path) -> Path | None:
    """The folder that holds the batches: the given one, or the archive's folder in it."""
    places = [folder, *(folder / name for name in FOLDERS)]
    return next((p for p in places if (p / "data_batch_1.bin").is_file() or (p / "data_batch_1").is_file()), None)


def load(folder: Path) -> Split:
    """Training and test images of a folder with the six batches. Raises ValueError where one is missing or damaged."""
    place = find(folder)
    if place is None:
        raise ValueError(f"{folder} holds no CIFAR-10 batches (data_batch_1.bin or data_batch_1)")
    parts = []
    for names in BATCHES:
        pixels, labels = zip(*(read_batch(place, name) for name in names), strict=True)
        parts.append(InMemory(np.concatenate(pixels), np.concatenate(labels), CLASSES))
    return Split(*parts)


def read_batch(folder: Path, name: str) -> tuple[Array, Array]:
    """Images (N, 3, 32, 32) and labels (N,), int64, of one batch, binary or Python. Raises ValueError with its name."""
    binary, python = folder / f"{name}.bin", folder / name
    if binary.is_file():
        content = np.fromfile(binary, np.uint8)
        if len(content) == 0 or len(content) % RECORD:
            raise ValueError(f"{binary} has {len(content)} bytes, not a multiple of a record's {RECORD}")
        records = content.reshape(-1, RECORD)
        path, pixels, labels = binary, np.ascontiguousarray(records[:, 1:]), records[:, 0].astype(np.int64)
    elif python.is_file():
        path, (pixels, labels) = python, _read_python(python)
    else:
        raise ValueError(f"{folder} lacks {name}.bin" if any(folder.glob("*.bin")) else f"{folder} lacks {name}")
    if len(pixels) != len(labels):
        raise ValueError(f"{path} has {len(pixels)} images but {len(labels)} labels")
    if not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise ValueError(f"{path} has labels from {labels.min()} to {labels.max()}; CIFAR-10 has 0 … 9")
    return pixels.reshape(-1, 3, 32, 32), labels


def _read_python(path: Path) -> tuple[Array, Array]:
    try:
        pixels, labels = cifar10_pickle.read(path.read_bytes())
        if pixels.shape[1:] != (RECORD - 1,) or len(pixels) == 0:
            raise ValueError(f"its data have the shape {pixels.shape}")
    except (MemoryError, OSError):
        raise
    except Exception as error:  # damaged pickles raise anything
        raise ValueError(f"{path} is not a CIFAR-10 batch: {error}") from error
    return pixels, labels
