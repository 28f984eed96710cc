"""Winograd's convolution of channels-last images: serial cores for a part of the batch.

Math     V = Bᵀ d B, U = G w Gᵀ, M_e = V_e U_e for each of the n × n elements e, y = Aᵀ M A + b, then ReLU if wanted.
         Backward: dM = A dy Aᵀ (dy = 0 where ReLU was), dV_e = dM_e U_eᵀ, dx += B dV Bᵀ over the tiles,
         dU_e += V_eᵀ dM_e, dw = Gᵀ dU G; db = Σ dM at the point (1, 1), for which A's row is all ones
Shapes   x (N, H, W, C), y (N, P, Q, K); V (n², tiles, C) and M (n², tiles, K) for a block of tiles; U (n², G, C/G, K/G)
         and Uᵀ (n², G, K/G, C/G), each packed for `matmul`; dU (n², G, C/G, K/G)
Threads  none: a thread calls these for its tiles or images, with scratch of its own
Traffic  V and M of a block stay in the cache; U is read once for each block, dU read and written
Change   against im2col: n²/(m²r²) of the multiplications (1/3.45 for F(5,3), 1/6.25 for F(4,5)), and no columns

Pointers are addresses. `shape` is (H, W, C, P, Q, K, groups, top, left, m, n, down, across): the maps, the padding, the
tile, and how many tiles cover a map. `spare` is a pixel of zeros, and behind it one that may be written to.
"""

from ..compiled import jit
from ..panel import LINE, item_bytes, matmul, vector_bytes, zero
from .transform import transform

GAP = 64  # bytes between the n² matrices; without, they would all start in the same set of the cache


def apart(row: int) -> int:
    """Bytes from one tile to the next in a V that dU is made of, whose rows have so many.

    A column of it is read down a piece of the tiles: four lines apart, or a multiple, they would share a few sets.
    """
    return row + LINE if row % (4 * LINE) == 0 else row


@jit
def forward(tile, vector, shape, x, u, b, y, scratch, spare, first, last, block):  # type: ignore[no-untyped-def]
    """y of the tiles first … last, `block` of them at a time."""
    _, _, C, _, _, K, _, _, _, _, n, _, _ = shape
    item = item_bytes(vector)
    for begin in range(first, last, block):
        tiles = min(block, last - begin)
        v_point, m_point = tiles * C * item + GAP, tiles * K * item + GAP
        products = scratch + n * n * v_point
        input_tiles(tile, vector, shape, x, scratch, v_point, C * item, spare, begin, tiles)
        multiply(vector, shape, scratch, v_point, C, u, products, m_point, K, tiles, 0, n * n)
        output_tiles(tile, vector, shape, products, m_point, b, y, spare, begin, tiles)


@jit
def backward_data(tile, vector, shape, dy, y, ut, dx, scratch, spare, first, last, block):  # type: ignore[no-untyped-def]
    """dx of the images first … last, `block` of them at a time; y is used where the tile has a ReLU."""
    _, _, _, _, _, K, _, _, _, _, n, down, across = shape
    item = item_bytes(vector)
    for begin in range(first, last, block):
        images = min(block, last - begin)
        tiles = images * down * across
        m_point = tiles * K * item + GAP
        gradient_tiles(tile, vector, shape, dy, y, scratch, m_point, spare, begin * down * across, tiles)
        to_dx(tile, vector, shape, scratch, m_point, ut, dx, scratch + n * n * m_point, spare, begin, images)


@jit
def place(number, down, across):  # type: ignore[no-untyped-def]
    """(image, row, column) of a tile."""
    image, within = divmod(number, down * across)
    return image, within // across, within % across


@jit
def input_tiles(tile, vector, shape, x, v, point, row, spare, begin, tiles):  # type: ignore[no-untyped-def]
    """V of so many tiles from `begin` on; row: bytes from one to the next."""
    H, W, C, _, _, _, _, top, left, m, _, down, across = shape
    item = item_bytes(vector)
    vectors = C * item // vector_bytes(vector)
    for t in range(tiles):
        image, i, j = place(begin + t, down, across)
        transform("input", tile, x + image * H * W * C * item, v + t * row, W * C * item, C * item, point,
                  i * m - top, j * m - left, H, W, vectors, spare, 0)  # fmt: skip


@jit
def output_tiles(tile, vector, shape, products, point, b, y, spare, begin, tiles):  # type: ignore[no-untyped-def]
    """y of so many tiles from `begin` on, from their M."""
    _, _, C, P, Q, K, _, _, _, m, _, down, across = shape
    item = item_bytes(vector)
    vectors = K * item // vector_bytes(vector)
    for t in range(tiles):
        image, i, j = place(begin + t, down, across)
        transform("output", tile, products + t * K * item, y + image * P * Q * K * item, Q * K * item, K * item, point,
                  i * m, j * m, P, Q, vectors, spare + max(C, K) * item, b)  # fmt: skip


@jit
def gradient_tiles(tile, vector, shape, dy, y, dm, point, spare, begin, tiles):  # type: ignore[no-untyped-def]
    """dM of so many tiles from `begin` on."""
    _, _, _, P, Q, K, _, _, _, m, _, down, across = shape
    item = item_bytes(vector)
    vectors = K * item // vector_bytes(vector)
    for t in range(tiles):
        image, i, j = place(begin + t, down, across)
        map_ = image * P * Q * K * item
        transform("dy", tile, dy + map_, dm + t * K * item, Q * K * item, K * item, point, i * m, j * m, P, Q, vectors,
                  spare, y + map_)  # fmt: skip


@jit
def multiply(  # type: ignore[no-untyped-def]
    vector, shape, a, a_point, a_channels, u, c, c_point, c_channels, tiles, first, last
):
    """c_e = a_e · u_e for the elements first … last and each group: M from V and U, or dV from dM and Uᵀ."""
    groups = shape[6]
    item = item_bytes(vector)
    k, columns = a_channels // groups, c_channels // groups
    u_point = groups * k * columns * item + GAP
    for e in range(first, last):
        for g in range(groups):
            left, right = a + e * a_point + g * k * item, u + e * u_point + g * k * columns * item
            product = c + e * c_point + g * columns * item
            soon = tiles * a_channels * item // LINE if g == 0 else 0
            matmul(vector, left, a_channels * item, item, right, 0, product, c_channels * item, tiles,
                   columns * item // vector_bytes(vector), k, 0, a + (e + 1) * a_point, soon)  # fmt: skip


@jit
def to_dx(tile, vector, shape, dm, m_point, ut, dx, dv, spare, begin, images):  # type: ignore[no-untyped-def]
    """dx of so many images from dM. A map is set to zero first, since its tiles add up where they overlap."""
    H, W, C, _, _, K, _, top, left, m, n, down, across = shape
    item = item_bytes(vector)
    tiles, vectors = images * down * across, C * item // vector_bytes(vector)
    v_point = tiles * C * item + GAP
    multiply(vector, shape, dm, m_point, K, ut, dv, v_point, C, tiles, 0, n * n)
    for t in range(tiles):
        image, i, j = place(t, down, across)
        map_ = dx + (begin + image) * H * W * C * item
        if i == 0 and j == 0:
            zero(vector, map_, H * W * vectors)
        transform("dx", tile, dv + t * C * item, map_, W * C * item, C * item, v_point, i * m - top, j * m - left, H, W,
                  vectors, spare + max(C, K) * item, 0)  # fmt: skip


@jit
def to_du(vector, shape, dm, m_point, v, v_point, v_row, du, tiles, first, last, add):  # type: ignore[no-untyped-def]
    """The elements first … last of dU, from dM and V of so many tiles, v_row bytes apart; written or added."""
    C, K, groups = shape[2], shape[5], shape[6]
    item = item_bytes(vector)
    rows, columns = C // groups, K // groups
    du_point = groups * rows * columns * item + GAP
    for e in range(first, last):
        for g in range(groups):
            left, right = v + e * v_point + g * rows * item, dm + e * m_point + g * columns * item
            product = du + e * du_point + g * rows * columns * item
            soon = v_point // LINE if g == 0 else 0
            matmul(vector, left, item, v_row, right, K * item, product, columns * item, rows,
                   columns * item // vector_bytes(vector), tiles, add, v + (e + 1) * v_point, soon)  # fmt: skip


@jit
def to_db(vector, shape, dm, m_point, one, db, tiles, add):  # type: ignore[no-untyped-def]
    """db from dM of so many tiles, written or added; `one` is the address of a 1."""
    K, n = shape[5], shape[10]
    item = item_bytes(vector)
    matmul(vector, one, 0, 0, dm + (n + 1) * m_point, K * item, db, 0, 1, K * item // vector_bytes(vector), tiles, add)
