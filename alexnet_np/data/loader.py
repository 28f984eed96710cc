"""Batches of a training epoch, in an order that follows from the seed and the epoch alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..backend import Array
from .dataset import Dataset
from .pixels import Pixels


def batches(
    data: Dataset, pixels: Pixels, size: int, *, seed: int, epoch: int, start: int = 0
) -> Iterator[tuple[Array, Array]]:
    """(x, labels) of each batch from number `start` on; the next is prepared while one is in use.

    Every batch is full: the few images that are left over wait for another epoch's order. Raises ValueError for a set
    smaller than a batch, and what decoding an image raises.
    """
    count = per_epoch(data, size)
    order = np.random.default_rng((seed, epoch)).permutation(len(data.labels))

    def prepare(number: int) -> tuple[Array, Array]:
        chosen = order[number * size : (number + 1) * size]
        return pixels(data.images(chosen)), data.labels[chosen]

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(prepare, start) if start < count else None
        for number in range(start, count):
            ready, ahead = ahead, pool.submit(prepare, number + 1) if number + 1 < count else None
            assert ready is not None
            yield ready.result()


def per_epoch(data: Dataset, size: int) -> int:
    """The number of full batches in an epoch. Raises ValueError where there is not one."""
    if len(data.labels) < size:
        raise ValueError(f"{len(data.labels)} training images do not fill a batch of {size}; choose a smaller batch")
    return len(data.labels) // size
