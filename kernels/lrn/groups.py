"""Groups of an image's channels, blocks of their pixels, and threads for them."""

from collections.abc import Callable
from math import ceil

from alexnet_np.backend import Array
from alexnet_np.parallel import share

from ..chunks import small_in_tests
from ..compiled import LEAST

STEP = 1 << 12  # pixels at a time
small_in_tests(__name__, STEP=32, LEAST=1)


def grouped(groups: int, *arrays: Array) -> list[Array]:
    """Each array (N, C, H, W) as (N·groups, C/groups, H·W)."""
    N, C, H, W = arrays[0].shape
    return [array.reshape(N * groups, C // groups, H * W) for array in arrays]


def block(pixels: int) -> int:
    """Pixels in a block: blocks of about the same length, so that none is a short rest."""
    return ceil(pixels / ceil(pixels / STEP))


def share_groups(x: Array, body: Callable[[int, int], None]) -> None:
    share(len(x), body, least=ceil(LEAST / x[0].size))
