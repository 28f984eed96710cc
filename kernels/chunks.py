"""Work in pieces, so that what a kernel writes in between stays in the cache.

How large a piece is stands in constants of the modules. Each module declares those that a test may make small, by
`small_in_tests`: the cases of the conformance test are small, and would go through a kernel in one piece.
"""

import sys
from collections.abc import Iterator
from math import ceil

SMALL: dict[str, dict[str, int]] = {}  # by module


def small_in_tests(module: str, **sizes: int) -> None:
    """Declare ints of the module, as it is so far, and how small a test makes them; compiled code must not know them.

    Raises NameError for a name that is no int of the module's.
    """
    for name in sizes:
        if not isinstance(vars(sys.modules[module]).get(name), int):
            raise NameError(f"{module} has no int {name} that a test could make small")
    SMALL[module] = sizes


BYTES = 2 << 20
small_in_tests(__name__, BYTES=1)


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
