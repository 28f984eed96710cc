"""From pixels to what a network sees: the paper subtracts the training set's mean image, others also scale."""

from dataclasses import dataclass

import numpy as np

from ..backend import Array
from .dataset import Dataset

SAMPLE = 5000  # images that the mean is taken over, at most


@dataclass(frozen=True)
class Pixels:
    """x = (pixels − mean) · scale, with the mean image (C, H, W) and one scale for all."""

    mean: Array
    scale: float = 1.0

    def __call__(self, images: Array) -> Array:
        x = images.astype(np.float32)
        x -= self.mean
        if self.scale != 1:
            x *= np.float32(self.scale)
        return x


def measure(data: Dataset, scale: bool, seed: int = 0) -> Pixels:
    """The mean image of a random sample, and with `scale` one over the deviation of its pixels from it."""
    chosen = np.random.default_rng(seed).permutation(len(data.labels))[:SAMPLE]
    total, squares = np.zeros(data.shape), 0.0
    for part in np.array_split(chosen, max(1, len(chosen) // 100)):
        images = data.images(part).astype(np.float64)
        total += images.sum(axis=0)
        squares += float((images**2).sum())
    mean = total / len(chosen)
    variance = squares / (len(chosen) * mean.size) - float((mean**2).mean())
    return Pixels(mean.astype(np.float32), 1 / max(variance, 1e-6) ** 0.5 if scale else 1.0)
