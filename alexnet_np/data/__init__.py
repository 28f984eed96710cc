"""Image sources: the generated set, IDX files, CIFAR-10, a folder per class."""

from pathlib import Path

from . import cifar10, folder, generated, idx
from .dataset import Dataset, InMemory, Split, subset
from .pixels import Pixels, measure

__all__ = ["Dataset", "InMemory", "Pixels", "Split", "load", "measure", "subset"]


def load(source: str, shape: tuple[int, int, int]) -> Split:
    """The images of a source: 'generated', or a folder in one of the forms below.

    shape: (C, H, W) that the network takes; images in files are brought to it, the others must have it.
    Raises ValueError, with what was expected, where the folder has no known form or its images another shape.
    """
    root = Path(source).expanduser()
    if source == "generated":
        split = generated.load(side=shape[1])
    elif not root.is_dir():
        raise ValueError(f"there is no folder {source!r}; give one, or 'generated'")
    elif idx.find(root, "train-images-idx3"):
        split = idx.load(root)
    elif cifar10.find(root):
        split = cifar10.load(root)
    elif folder.class_folders(root):
        split = folder.load(root, shape)
    else:
        raise ValueError(
            f"{source} holds no images in a known form: IDX files (train-images-idx3-ubyte.gz, …), "
            "CIFAR-10 batches (data_batch_1.bin, …), or one folder of JPEG or PNG files for each class"
        )
    if split.train.shape != tuple(shape):
        raise ValueError(f"{source} has images of {split.train.shape}, the network takes {tuple(shape)}")
    return split
