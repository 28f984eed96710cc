"""Batches in chunks of a few images, so that what a kernel writes in between stays in the cache."""

from collections.abc import Iterator

BYTES = 2 << 20


def images_at_a_time(bytes_per_image: int, images: int) -> int:
    """How many images fit into the chunk's bytes: at least one."""
    return min(images, max(1, BYTES // max(1, bytes_per_image)))


def chunks(images: int, step: int) -> Iterator[slice]:
    """The batch as slices of `step` images, the last one shorter where they do not divide."""
    for start in range(0, images, step):
        yield slice(start, min(start + step, images))
