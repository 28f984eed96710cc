"""Work in pieces, so that what a kernel writes in between stays in the cache."""

from collections.abc import Iterator
from math import ceil

BYTES = 2 << 20


def images_at_a_time(bytes_per_image: int, images: int) -> int:
    """How many images fit into the chunk's bytes: at least one."""
    return min(images, max(1, BYTES // max(1, bytes_per_image)))


def rows_at_a_time(bytes_per_row: int, rows: int) -> int:
    """How many rows, of columns or of windows, stay in one core's cache: at least one, in steps of about one length."""
    return ceil(rows / ceil(rows * bytes_per_row * 2 / (3 * BYTES)))


def chunks(images: int, step: int) -> Iterator[slice]:
    """The batch as slices of `step` images, the last one shorter where they do not divide."""
    for start in range(0, images, step):
        yield slice(start, min(start + step, images))
