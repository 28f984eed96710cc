"""How good a network is: loss, the share of images whose class is the first or among the first five, and which classes
are taken for which.

The paper's evaluation runs the network on ten crops of each image, the four corners and the centre and their mirror
images, and averages the ten softmax outputs (section 4.1).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..backend import Array
from ..data import Dataset, Pixels
from ..data.loader import prefetch
from ..dispatch import default_backend
from ..network import Sequential
from ..plan import Plan
from .finite import NotFinite

Crops = Literal[1, 10]


@dataclass(frozen=True, eq=False)
class Scores:
    """Results over a set of images.

    loss       mean of −log p(right class)
    top1 top5  share of images whose right class scores above all others, above all but four; a tie is no success
    images     how many there were
    confusion  (K, K) int64: images of the row's class that were taken for the column's. The diagonal holds the
               successes of top1, so where the right class ties with others the first of those others is counted
    crops      how many crops of each image were averaged
    """

    loss: float
    top1: float
    top5: float
    images: int
    confusion: Array
    crops: int = 1

    @property
    def per_class(self) -> Array:
        """Top-1 of each class (K,) float64; NaN for a class without images."""
        counts = self.confusion.sum(axis=1)
        return np.divide(np.diag(self.confusion), counts, out=np.full(len(counts), np.nan), where=counts > 0)

    def summary(self) -> dict[str, float]:
        """The numbers that a line of the record holds."""
        return {"loss": self.loss, "top1": self.top1, "top5": self.top5, "images": self.images}

    def json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Everything, in plain Python; a class without images has accuracy null."""
        per_class = [
            {"class": name, "images": int(row.sum()), "accuracy": None if math.isnan(accuracy) else float(accuracy)}
            for name, row, accuracy in zip(classes, self.confusion, self.per_class, strict=True)
        ]
        return {**self.summary(), "crops": self.crops, "per_class": per_class, "confusion": self.confusion.tolist()}


def evaluate(
    model: Sequential,
    data: Dataset,
    pixels: Pixels,
    batch: int = 128,
    *,
    crops: Crops = 1,
    threads: int = 1,
    precision: str | None = None,
    tell: Callable[[int], None] | None = None,
) -> Scores:
    """Run the network on every image of a set, without dropout; `batch` crops go through it at a time.

    Images are decoded in `threads` threads ahead of the network; `precision`: a Plan's; `tell` hears how many are done.
    Raises ValueError for a set without an image that can be read, a network with another number of classes, an output
    that is not finite, and for ten crops where images are stored no larger than the network takes them.
    """
    if crops not in (1, 10) or batch < 1:
        raise ValueError(f"crops must be 1 or 10 and batch at least 1, got {crops} and {batch}")
    K, loss, top1, top5, images = len(data.classes), 0.0, 0, 0, 0
    confusion = np.zeros((K, K), np.int64)

    size = max(1, batch // crops)
    run = Outputs(model, crops * size, len(data.labels) // size, precision)

    def prepare(first: int) -> tuple[Array, Array]:
        pictures, kept = data.read(np.arange(first, min(first + size, len(data.labels))))
        return crop(pixels, pictures, crops) if len(kept) else None, data.labels[kept]

    for (x, labels), _ in prefetch(prepare, range(0, len(data.labels), size), threads):
        if tell:
            tell(len(labels))
        if len(labels) == 0:
            continue  # none of them could be read; the set says which and why
        log_p = log_probabilities(run, x)
        if log_p.shape[1] != K:
            raise ValueError(f"the network tells {log_p.shape[1]} classes apart, the images have {K}")
        rows, others = np.arange(len(labels)), log_p.copy()
        own = log_p[rows, labels]
        # Rank of the right class: how many others score at least as high, so that a tie is not a success.
        rank = (log_p >= own[:, None]).sum(axis=1)
        others[rows, labels] = -np.inf
        np.add.at(confusion, (labels, np.where(rank == 1, labels, others.argmax(axis=1))), 1)
        loss, images = loss - float(own.sum()), images + len(labels)
        top1, top5 = top1 + int((rank == 1).sum()), top5 + int((rank <= 5).sum())
    if images == 0:
        raise ValueError("there are no images to evaluate on")
    return Scores(loss / images, top1 / images, top5 / images, images, confusion, crops)


def crop(pixels: Pixels, pictures: Array, crops: int) -> Array:
    """What the network takes of uint8 images (n, C, Hs, Ws): float32 (crops, n, C, H, W)."""
    return pixels(pictures)[None] if crops == 1 else pixels.ten_crops(pictures)


class Outputs:
    """The network's logits (n, K) for images (n, C, H, W), without dropout.

    Planned for batches of `size` images where there are several of them, layer by layer for others: laying a plan out
    takes longer than it saves on one batch. Under use("gpu_cuda") always planned.
    """

    def __init__(self, model: Sequential, size: int, batches: int, precision: str | None = None) -> None:
        self.model, self.size, self.planned, self.precision = model, size, batches > 1, precision
        self._plans: dict[int, Plan] = {}

    def __call__(self, x: Array) -> Array:
        if not on_device() and (len(x) != self.size or not self.planned):
            return self.model.forward(x, logits=True)
        if len(x) not in self._plans:
            self._plans[len(x)] = Plan(self.model, x.shape, precision=self.precision)
        return self._plans[len(x)].predict(x, logits=True)


def on_device() -> bool:
    """Whether kernels in CUDA C++ are asked for, on a GPU or emulated: then a plan runs every batch."""
    asked = default_backend()
    return asked is not None and asked.bodies == "gpu_cuda"


def log_probabilities(run: Callable[[Array], Array], x: Array) -> Array:
    """log of the mean softmax output over the crops: (n, K) float64 from inputs (crops, n, C, H, W) and their logits.

    With log p = z − log Σ exp z for logits z, it is log Σ exp(log p) − log crops: no exponential overflows, and no
    probability that vanishes turns the loss infinite. Raises NotFinite where an output is not finite.
    """
    crops, n, *shape = x.shape
    with np.errstate(over="ignore", invalid="ignore"):  # the outputs are looked at instead
        z = run(np.ascontiguousarray(x).reshape(crops * n, *shape)).astype(np.float64)
    if not np.isfinite(z).all():
        raise NotFinite("the network's outputs are not finite: its weights are too large, or damaged")
    log_p = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
    return np.logaddexp.reduce(log_p.reshape(crops, n, -1), axis=0) - math.log(crops)
