"""What is measured on the training set before training: mean image, scale, principal components of the colours."""

import numpy as np

from .dataset import Dataset
from .loader import prefetch
from .pixels import Pixels

SAMPLE = 5000  # images that are looked at, at most
CHUNK = 16


def measure(
    train: Dataset,
    *,
    scale: bool,
    crop: tuple[int, int] | None = None,
    mirror: bool = False,
    colour: float = 0.0,
    seed: int = 0,
    threads: int = 1,
) -> Pixels:
    """Mean image of a random sample; with `scale` one over the deviation of its pixels from it; and the colours.

    colour: standard deviation of the α of the paper's PCA colour, 0 for none. The paper adds Σ pᵢ αᵢ λᵢ, with pᵢ and λᵢ
    the eigenvectors and eigenvalues of the covariance of RGB values. Taken at its word, in units of a pixel, λ₁ is
    about 10⁴ and the sum would leave nothing of an image. Here λ is the deviation along pᵢ, √ of the eigenvalue: α
    then is a share of the data's own spread, whatever its units. (The authors' code divides by 1 + 0.1 after adding
    the noise, which has a meaning only if the noise is a tenth of the data's deviation.)

    Raises ValueError for an empty set, a crop that does not fit, and colour without three channels.
    """
    chosen = np.random.default_rng(seed).permutation(len(train.labels))[:SAMPLE]
    channels = train.shape[0]
    total, squares, count = np.zeros(train.shape), np.zeros((channels, channels)), 0
    chunks = np.array_split(chosen, -(-len(chosen) // CHUNK)) if len(chosen) else []
    for (images, _), _ in prefetch(train.read, chunks, threads):
        count += len(images)
        total += images.sum(axis=0, dtype=np.float64)
        flat = images.transpose(1, 0, 2, 3).reshape(channels, -1).astype(np.float64)
        squares += flat @ flat.T
    if count == 0:
        raise ValueError("there are no images to train on")
    mean, each = total / count, count * total[0].size
    variance = np.trace(squares) / (each * channels) - float((mean**2).mean())
    components = None
    if colour:
        if channels != 3:
            raise ValueError(f"PCA colour needs images with 3 channels, these have {channels}")
        rgb = mean.mean(axis=(1, 2))
        values, vectors = np.linalg.eigh(squares / each - np.outer(rgb, rgb))
        components = vectors * np.sqrt(np.maximum(values, 0))
    factor = 1 / max(variance, 1e-6) ** 0.5 if scale else 1.0
    return Pixels(mean.astype(np.float32), float(factor), crop, mirror, components, colour or 0.1)
