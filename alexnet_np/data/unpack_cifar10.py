"""CIFAR-10 from a file of JPEGs to the official binary batches, which every reader of CIFAR-10 takes.

    python -m alexnet_np.data.unpack_cifar10 cifar10_jpeg.npz FOLDER

The file is an .npz with `{train,test}_blob`, `_offsets` and `_labels`: image i is the JPEG in
blob[offsets[i]:offsets[i + 1]]. The batches, data_batch_1.bin … data_batch_5.bin and test_batch.bin, come to stand in
FOLDER/cifar-10-batches-bin. JPEG is lossy, so accuracies differ a little from published ones.
"""

import io
import sys
import zipfile
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np

from ..backend import Array
from .cifar10 import BATCHES, CLASSES, FOLDERS
from .decode import decode

MOST = 100  # times the archive is what one of its arrays may become


def unpack(source: Path, target: Path) -> Path:
    """Write the six batches; returns their folder. Raises ValueError for a file of another kind."""
    try:
        parts = {part: _images(source, part) for part in ("train", "test")}
    except MemoryError:
        raise
    except Exception as error:  # damaged archives raise anything
        raise ValueError(f"{source} is not CIFAR-10 as JPEGs in an .npz: {error}") from None
    folder = target / FOLDERS[0]
    folder.mkdir(parents=True, exist_ok=True)
    for (part, (images, labels)), batches in zip(parts.items(), BATCHES, strict=True):
        for batch, chosen in zip(batches, np.array_split(np.arange(len(labels)), len(batches)), strict=True):
            with (folder / f"{batch}.bin").open("wb") as file:
                for i in chosen:
                    image = decode(images[i], f"{source}: {part} image {i}", (3, 32, 32))
                    file.write(bytes([labels[i]]) + image.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n")
    return folder


def _images(source: Path, part: str) -> tuple[list[bytes], list[int]]:
    """The JPEGs of a part and their labels. Raises ValueError where they do not fit each other, and what a damaged
    archive ends in."""
    with zipfile.ZipFile(source) as archive:
        blob, offsets, labels = (_array(archive, f"{part}_{key}", source) for key in ("blob", "offsets", "labels"))
    if blob.dtype != np.uint8 or offsets.dtype.kind not in "iu" or labels.dtype.kind not in "iu":
        raise ValueError(f"{part} has {blob.dtype} bytes, {offsets.dtype} offsets and {labels.dtype} labels")
    if not 1 == blob.ndim == offsets.ndim == labels.ndim or len(offsets) != len(labels) + 1 or len(labels) < 5:
        raise ValueError(f"{part} has bytes {blob.shape}, offsets {offsets.shape} and labels {labels.shape}")
    ends, numbers = offsets.tolist(), labels.tolist()
    if ends != sorted(ends) or ends[0] < 0 or ends[-1] > len(blob):
        raise ValueError(f"the offsets of {part} do not rise from 0 to at most {len(blob)}")
    if not 0 <= min(numbers) <= max(numbers) < len(CLASSES):
        raise ValueError(f"{part} has labels from {min(numbers)} to {max(numbers)}; CIFAR-10 has 0 … 9")
    content = blob.tobytes()
    return [content[start:end] for start, end in pairwise(ends)], numbers


def _array(archive: zipfile.ZipFile, name: str, source: Path) -> Array:
    """An array of an .npz. NumPy's own reader takes the memory that a header asks for before it looks at the data."""
    most = MOST * source.stat().st_size + 4096
    with archive.open(f"{name}.npy") as file:
        content = io.BytesIO(file.read(most + 1))
    if content.getbuffer().nbytes > most:
        raise ValueError(f"{name} becomes more than {most:,} bytes")
    version = np.lib.format.read_magic(content)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read_header(content)
    data = content.read()
    if dtype.hasobject or len(data) != dtype.itemsize * prod(shape):
        raise ValueError(f"{name} says that it is {dtype} {shape}, and has {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C")


def main() -> int:
    """The script. Exit code 2, and one line, where the file is missing or of another kind."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(unpack(Path(sys.argv[1]), Path(sys.argv[2])))
    except (ValueError, OSError) as error:
        print(f"unpack_cifar10: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
