"""The images that a network finds most alike: those whose last hidden layer is nearest, as in the paper's Figure 4."""

import io
from base64 import b64encode
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..backend import Array
from ..layers import Linear
from ..network import Sequential

BATCH, SIDE = 32, 96


def hidden(model: Sequential, x: Array) -> Array:
    """What goes into the last fully-connected layer (n, F) for images (n, C, H, W), without dropout."""
    last = next(layer for layer in reversed(list(model.values())) if isinstance(layer, Linear))
    for layer in model.values():
        if layer is last:
            break
        x = layer.forward(x)
    return x.reshape(len(x), -1)


def nearest(model: Sequential, x: Array, others: Array, count: int = 6) -> list[tuple[int, float]]:
    """Which of the other images (m, C, H, W) are nearest to the image x (1, C, H, W), and their Euclidean distances."""
    own = hidden(model, x)
    starts = range(0, len(others), BATCH)
    features = np.concatenate([hidden(model, np.ascontiguousarray(others[i : i + BATCH])) for i in starts])
    distances = np.linalg.norm(features - own, axis=1)
    return [(int(i), float(distances[i])) for i in np.argsort(distances, kind="stable")[:count]]


def thumbnails(pictures: Sequence[Array]) -> list[str]:
    """PNG files of uint8 images (C, H, W) as addresses that a page can show."""
    found = []
    for picture in pictures:
        pixels = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
        image, file = Image.fromarray(np.ascontiguousarray(pixels)), io.BytesIO()
        image.thumbnail((SIDE, SIDE))
        image.save(file, "PNG")
        found.append("data:image/png;base64," + b64encode(file.getvalue()).decode("ascii"))
    return found
