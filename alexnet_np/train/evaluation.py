"""How good a network is: loss, and the share of images whose class is the first, or among the first five."""

from typing import NamedTuple

import numpy as np

from .. import ops
from ..data import Dataset, Pixels
from ..network import Sequential


class Scores(NamedTuple):
    """Means over a set of images."""

    loss: float
    top1: float
    top5: float
    images: int


def evaluate(model: Sequential, data: Dataset, pixels: Pixels, batch: int = 128) -> Scores:
    """Run the network on every image of a set, without dropout. Raises ValueError for an empty set."""
    count = len(data.labels)
    if count == 0:
        raise ValueError("there are no images to evaluate on")
    loss = top1 = top5 = 0.0
    for first in range(0, count, batch):
        chosen = np.arange(first, min(first + batch, count))
        labels = data.labels[chosen]
        logits = model.forward(pixels(data.images(chosen)), logits=True)
        loss += float(ops.softmax_cross_entropy(logits, labels)[0]) * len(chosen)
        # Rank of the right class: how many others score at least as high, so that a tie is not a success.
        own = logits[np.arange(len(labels)), labels]
        rank = (logits >= own[:, None]).sum(axis=1)
        top1, top5 = top1 + float((rank == 1).sum()), top5 + float((rank <= 5).sum())
    return Scores(loss / count, top1 / count, top5 / count, count)
