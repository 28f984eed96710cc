"""Image sources, and the way from their images to batches of a network's input."""

from pathlib import Path

from . import cifar10, folder, generated, idx, ilsvrc, shards
from .dataset import Dataset, InMemory, Split, subset
from .decode import decoder
from .files import OnBadImage
from .fingerprint import changes, fingerprint
from .loader import Batch, batches, per_epoch, prefetch
from .measure import measure
from .pixels import Pixels

__all__ = [
    "Batch",
    "Dataset",
    "InMemory",
    "OnBadImage",
    "Pixels",
    "Split",
    "batches",
    "changes",
    "decoder",
    "fingerprint",
    "load",
    "measure",
    "per_epoch",
    "prefetch",
    "subset",
]


def load(
    source: str, shape: tuple[int, int, int], *, store: int | None = None, on_bad_image: OnBadImage = "error"
) -> Split:
    """The images of a source: 'generated', or a folder in one of the forms below.

    shape: (C, H, W) that the network takes. store: the side of the stored images, from which it sees a window; the
    network's own unless given. Images in files are brought to it (the shorter side, then the centre), the others must
    have it. on_bad_image: 'skip' leaves out what cannot be read, and counts it in `skipped`.
    Raises ValueError, with what was expected, where the folder has no known form or its images another shape.
    """
    channels, height, width = shape
    if store is not None and store < max(height, width):
        raise ValueError(f"images stored at {store}×{store} are smaller than the network's {height}×{width}")
    stored = (channels, store or height, store or width)
    root = Path(source).expanduser()
    if source == "generated":
        split = generated.load(side=stored[1])
    elif not root.is_dir():
        raise ValueError(f"there is no folder {source!r}; give one, or 'generated'")
    elif idx.find(root, "train-images-idx3"):
        split = idx.load(root)
    elif cifar10.find(root):
        split = cifar10.load(root)
    elif ilsvrc.find(root):
        split = ilsvrc.load(root, stored, on_bad_image)
    elif shards.find(root):
        split = shards.load(root, stored, on_bad_image)
    elif folder.class_folders(root):
        split = folder.load(root, stored, on_bad_image)
    else:
        raise ValueError(
            f"{source} holds no images in a known form: IDX files (train-images-idx3-ubyte.gz, …), "
            "CIFAR-10 batches (data_batch_1.bin, …), the ILSVRC-2012 layout, tar shards (train-….tar), "
            "or one folder of JPEG or PNG files for each class"
        )
    if split.train.shape != stored:
        needed = f"the network takes {tuple(shape)}" + (f", stored as {stored}" if store else "")
        raise ValueError(f"{source} has images of {split.train.shape}, {needed}")
    return split
