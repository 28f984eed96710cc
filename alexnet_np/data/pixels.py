"""From stored images to what a network sees, as in the paper's section 4.1.

Training: the mean image is subtracted, a random window is cut out and mirrored in half of the cases, and the colour
of the whole image is shifted along the principal components of the training set's RGB values. Otherwise: the centre,
or the four corners and the centre with their mirror images. Where the network asks for it, the result is scaled.

The random numbers of an image are words of Philox, a function of (seed, epoch, index of the image) and of nothing
else: neither threads nor batches nor the order change what happens to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Array
from ..ops.philox import philox4x32, stream_key

STREAM = 1  # the last counter word, which is 0 in the streams of the dropout masks


@dataclass(frozen=True, eq=False)
class Pixels:
    """x = (window of (pixels + colour · α) − the same window of the mean) · scale.

    Raises ValueError for a crop that is larger than the stored images, and for colour without three channels.
    """

    mean: Array
    """mean image (C, Hs, Ws) of the stored images, float32"""
    scale: float = 1.0
    crop: tuple[int, int] | None = None
    """height and width of the window; None: the whole image"""
    mirror: bool = False
    """mirror every other image of a training batch, at random"""
    colour: Array | None = None
    """3 × 3: column i is the principal component pᵢ times √λᵢ, in units of a pixel (see `measure`)"""
    colour_std: float = 0.1
    """standard deviation of α"""

    def __post_init__(self) -> None:
        stored, window = self.mean.shape[1:], self.window
        if not (0 < window[0] <= stored[0] and 0 < window[1] <= stored[1]):
            raise ValueError(f"a crop of {window[0]}×{window[1]} does not fit into images of {stored[0]}×{stored[1]}")
        if self.colour is not None and len(self.mean) != 3:
            raise ValueError(f"PCA colour needs images with 3 channels, these have {len(self.mean)}")

    @property
    def window(self) -> tuple[int, int]:
        """Height and width of what the network sees."""
        height, width = self.crop or self.mean.shape[1:]
        return height, width

    def __call__(self, images: Array) -> Array:
        """The centre of images (n, C, Hs, Ws) as float32 (n, C, H, W)."""
        (height, width), (spare_rows, spare_columns) = self.window, self._spare()
        return self._cut(images, spare_rows // 2, spare_columns // 2, height, width)

    def ten_crops(self, images: Array) -> Array:
        """Four corners and the centre of images (n, C, Hs, Ws), then their mirror images: float32 (10, n, C, H, W).

        Raises ValueError where the stored images are no larger than the window.
        """
        (height, width), (rows, columns) = self.window, self._spare()
        if rows == 0 and columns == 0:
            raise ValueError(f"ten crops need images stored larger than the network's {height}×{width}")
        places = (0, 0), (0, columns), (rows, 0), (rows, columns), (rows // 2, columns // 2)
        five = np.stack([self._cut(images, top, left, height, width) for top, left in places])
        return np.concatenate([five, five[..., ::-1]])

    def train(self, images: Array, indices: Array, *, seed: int, epoch: int) -> Array:
        """Images (n, C, Hs, Ws), whose indices in their set are given, as float32 (n, C, H, W) to train on."""
        (height, width), (rows, columns) = self.window, self._spare()
        top, left, mirrored, alpha = draw(np.asarray(indices), (rows + 1, columns + 1), seed, epoch)
        shift = None if self.colour is None else (self.colour_std * alpha @ self.colour.T).astype(np.float32)
        x = np.empty((*images.shape[:2], height, width), np.float32)
        for i, y in enumerate(x):  # an image at a time stays in the cache
            step = -1 if self.mirror and mirrored[i] else 1
            window = np.s_[:, top[i] : top[i] + height, left[i] : left[i] + width]
            y[...] = images[i][window][..., ::step]
            y -= self.mean[window][..., ::step]
            if shift is not None:
                y += shift[i, :, None, None]
            self._scaled(y)
        return x

    def _spare(self) -> tuple[int, int]:
        return self.mean.shape[1] - self.window[0], self.mean.shape[2] - self.window[1]

    def _cut(self, images: Array, top: int, left: int, height: int, width: int) -> Array:
        window = np.s_[..., top : top + height, left : left + width]
        return self._scaled(np.subtract(images[window], self.mean[window], dtype=np.float32))

    def _scaled(self, x: Array) -> Array:
        if self.scale != 1:
            x *= np.float32(self.scale)
        return x

    def tensors(self) -> dict[str, Array]:
        """The arrays, by the names that they have in a checkpoint."""
        return {"pixels.mean": self.mean, **({} if self.colour is None else {"pixels.colour": self.colour})}

    def about(self) -> dict[str, Any]:
        """The rest, as JSON takes it."""
        crop = list(self.crop) if self.crop else None
        return {"scale": self.scale, "crop": crop, "mirror": self.mirror, "colour_std": self.colour_std}

    @classmethod
    def restore(cls, tensors: Mapping[str, Array], about: Mapping[str, Any]) -> "Pixels":
        """What `tensors` and `about` were taken from. Raises KeyError where something is missing."""
        crop = (int(about["crop"][0]), int(about["crop"][1])) if about["crop"] else None
        mean, colour = tensors["pixels.mean"], tensors.get("pixels.colour")
        return cls(mean, about["scale"], crop, about["mirror"], colour, about["colour_std"])


def draw(indices: Array, places: tuple[int, int], seed: int, epoch: int) -> tuple[Array, Array, Array, Array]:
    """The random numbers of images (n,) in an epoch: row and column of the window, mirrored or not, α (n, 3) ~ N(0, 1).

    places: how many rows and columns a window can start at. Two blocks of Philox serve an image; the second gives
    normal deviates by the Box-Muller transform.
    """
    index, zero, one = indices.astype(np.uint64), np.uint64(0), np.uint64(1)
    key = stream_key(seed, 0, epoch)
    first, second = (philox4x32((index, block, zero, np.uint64(STREAM)), key) for block in (zero, one))
    top, left = ((first[i] * np.uint64(places[i]) >> np.uint64(32)).astype(np.int64) for i in (0, 1))
    u = (np.stack(second) + 0.5) / 2**32  # in (0, 1)
    radius, angle = np.sqrt(-2 * np.log(u[:2])), 2 * np.pi * u[2:]
    alpha = np.stack([radius[0] * np.cos(angle[0]), radius[0] * np.sin(angle[0]), radius[1] * np.cos(angle[1])], axis=1)
    return top, left, first[2] & one == one, alpha
