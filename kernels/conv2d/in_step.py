"""Winograd's convolution of a few channels-last images by all threads together, phase by phase.

Math     as channels_last.forward
Shapes   as there; V and M of all tiles at once
Threads  all: they take turns of rows of blocks, then of tiles, then of the n² products, then of tiles
Traffic  U once. The filters that it was made of once more, to see whether they are still the same
Change   against a thread for each image: one image is done in the time of a part of it, and of three barriers
"""

from ..compiled import jit
from ..fingerprint import same
from ..panel import item_bytes
from ..together import LINE, turn, wait
from .blocks import to_blocks
from .channels_last import GAP, input_tiles, multiply, output_tiles


@jit
def forward(  # type: ignore[no-untyped-def]
    part, parts, state, tile, vector, shape, images, block, blocks, x, u, b, y, scratch, spare, tiles, w, prints
):
    """This part's share of y; whether there is none, and the flag in `state` raised, since w has other fingerprints.

    state: of a Barrier. images: array; where block = (s, top, left) has s > 0 its blocks are made first, in the array
    `blocks`, whose address x then is. w, prints: flat, as for fingerprint.same. The others as in channels_last.py.
    """
    _, _, C, _, _, K, _, _, _, _, n, _, _ = shape
    item = item_bytes(vector)
    if block[0] > 0:
        first, last = turn(state, 0, part, parts, len(images) * blocks.shape[1], 1)
        while first < last:
            to_blocks(images, block[0], block[1], block[2], blocks, first, last)
            first, last = turn(state, 0, part, parts, len(images) * blocks.shape[1], 1)
        wait(state, parts)
    v_point, m_point = tiles * C * item + GAP, tiles * K * item + GAP
    products = scratch + n * n * v_point
    first, last = turn(state, 0, part, parts, tiles, 1)
    while first < last:
        input_tiles(tile, vector, shape, x, scratch + first * C * item, v_point, C * item, spare, first, last - first)
        first, last = turn(state, 0, part, parts, tiles, 1)
    first, last = turn(state, 1, part, parts, prints.size, 1)
    while first < last:
        if not same(w, first, last, prints):
            state[LINE] = 1
        first, last = turn(state, 1, part, parts, prints.size, 1)
    wait(state, parts)
    if state[LINE]:
        return True
    first, last = turn(state, 0, part, parts, n * n, 1)
    while first < last:
        multiply(vector, shape, scratch, v_point, C, u, products, m_point, K, tiles, first, last)
        first, last = turn(state, 0, part, parts, n * n, 1)
    wait(state, parts)
    first, last = turn(state, 0, part, parts, tiles, 1)
    while first < last:
        output_tiles(tile, vector, shape, products + first * K * item, m_point, b, y, spare, first, last - first)
        first, last = turn(state, 0, part, parts, tiles, 1)
    return False
