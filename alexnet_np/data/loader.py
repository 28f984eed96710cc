"""Batches of a training epoch, made ahead of the step, in an order that follows from the seed and the epoch alone."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np

from ..backend import Array
from .dataset import Dataset
from .pixels import Pixels

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batch(NamedTuple):
    """What a training step takes, and how long it had to wait for it."""

    x: Array
    """float32 (n, C, H, W)"""
    labels: Array
    """int64 (n,)"""
    waited: float
    """seconds"""


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int = 1
) -> Iterator[tuple[Result, float]]:
    """function(item) of each item, in order, and the seconds that the caller waited for it.

    `threads` threads work ahead, and at most threads + 1 results are under way or wait to be taken. What a call
    raises is raised here, in its item's turn. When the iterator is closed, by an error or by Ctrl-C too, calls that
    have not begun are dropped and the threads end. Raises ValueError for less than one thread.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    pool = ThreadPoolExecutor(threads, thread_name_prefix="loader")
    ahead: deque[Future[Result]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > threads + 1:
                yield _take(ahead)
        while ahead:
            yield _take(ahead)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _take(ahead: deque[Future[Result]]) -> tuple[Result, float]:
    began = time.perf_counter()
    return ahead.popleft().result(), time.perf_counter() - began


def batches(
    data: Dataset, pixels: Pixels, size: int, *, seed: int, epoch: int, start: int = 0, threads: int = 1
) -> Iterator[Batch]:
    """The batches of an epoch from number `start` on, decoded and augmented in `threads` threads ahead of the step.

    Every batch is full but for images that the set skips; the few images that are left over wait for another epoch's
    order. The same whatever the number of threads. Raises ValueError for a set smaller than a batch, for a batch of
    which no image can be read, and what reading an image raises.
    """
    order = np.random.default_rng((seed, epoch)).permutation(len(data.labels))

    def prepare(number: int) -> tuple[Array, Array]:
        chosen = order[number * size : (number + 1) * size]
        images, kept = data.read(chosen)
        if len(kept) == 0:
            name, reason = next(iter(data.skipped.items()))
            raise ValueError(f"none of a batch's {size} images can be read; the first that could not: {name}: {reason}")
        return pixels.train(images, kept, seed=seed, epoch=epoch), data.labels[kept]

    for (x, labels), waited in prefetch(prepare, range(start, per_epoch(data, size)), threads):
        yield Batch(x, labels, waited)


def per_epoch(data: Dataset, size: int) -> int:
    """The number of full batches in an epoch. Raises ValueError where there is not one."""
    if len(data.labels) < size:
        raise ValueError(f"{len(data.labels)} training images do not fill a batch of {size}; choose a smaller batch")
    return len(data.labels) // size
