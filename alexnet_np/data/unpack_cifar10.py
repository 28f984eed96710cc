"""CIFAR-10 from a file of JPEGs to the official binary batches, which every reader of CIFAR-10 takes.

    python -m alexnet_np.data.unpack_cifar10 cifar10_jpeg.npz FOLDER

The file is an .npz with `{train,test}_blob`, `_offsets` and `_labels`: image i is the JPEG in
blob[offsets[i]:offsets[i + 1]]. The batches, data_batch_1.bin … data_batch_5.bin and test_batch.bin, come to stand in
FOLDER/cifar-10-batches-bin. JPEG is lossy, so accuracies differ a little from published ones.
"""

import sys
import zipfile
from pathlib import Path

import numpy as np

from .cifar10 import BATCHES, CLASSES, FOLDERS
from .decode import decode


def unpack(source: Path, target: Path) -> Path:
    """Write the six batches; returns their folder. Raises ValueError for a file of another kind."""
    folder = target / FOLDERS[0]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with np.load(source) as packed:
            for part, batches in zip(("train", "test"), BATCHES, strict=True):
                blob, offsets, labels = (packed[f"{part}_{key}"] for key in ("blob", "offsets", "labels"))
                content = blob.tobytes()
                for batch, chosen in zip(batches, np.array_split(np.arange(len(labels)), len(batches)), strict=True):
                    with (folder / f"{batch}.bin").open("wb") as file:
                        for i in chosen:
                            image = decode(content[offsets[i] : offsets[i + 1]], f"{part} image {i}", (3, 32, 32))
                            file.write(bytes([labels[i]]) + image.tobytes())
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{source} is not CIFAR-10 as JPEGs in an .npz: {error}") from None
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n")
    return folder


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
