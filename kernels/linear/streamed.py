"""A product with a weight matrix that streams through the caches once: serial cores for a thread's rows of it.

Math     yᵀ = w·xᵀ + b
Shapes   x (N, C), y (N, K), w (K, C)
Threads  none: a thread calls `forward` for some rows of w
Traffic  w once, the next piece on its way while one is used; a piece of xᵀ stays in the first cache
Change   against BLAS, which copies all of w into panels first, so that it costs a batch of 32 more than its products:
         here the numbers of w go from where they are into all lanes, and the small xᵀ is packed
"""

from math import ceil

from ..compiled import jit
from ..panel import ROWS, WIDTH, item_bytes, matmul, vector_bytes

CACHED = 1 << 15  # bytes of a piece of a panel of xᵀ
LINE = 64


def piece(N: int, C: int, lanes: int, itemsize: int) -> int:
    """Features at a time: as many as leave a panel's piece in the first cache."""
    width = min(ceil(N / lanes), WIDTH) * lanes * itemsize
    return min(C, CACHED // width)


@jit
def pack_transposed(x, lanes, piece, first, last, packed):  # type: ignore[no-untyped-def]
    """xᵀ of the pieces first … last, each of `piece` features, in panels of four vectors of images; 0 past the batch.

    x (N, C); packed: flat, C · (N rounded up to vectors).
    """
    N, C = x.shape
    wide = (N + lanes - 1) // lanes * lanes
    for number in range(first, last):
        begin = number * piece
        features = min(piece, C - begin)
        for j in range(0, wide, 4 * lanes):
            width = min(4 * lanes, wide - j)
            panel = packed[begin * wide + j * features :]
            for n in range(width):
                for c in range(features):
                    panel[c * width + n] = x[j + n, begin + c] if j + n < N else x.dtype.type(0)


@jit
def forward(vector, x, w, b, y, turned, N, C, piece, rows):  # type: ignore[no-untyped-def]
    """y of so many rows of w.

    vector: Static(itemsize, lanes); addresses of x, packed, and of the first row of w; b and y (N, rows): views;
    turned (rows, N rounded up to vectors): scratch.
    """
    item, size = item_bytes(vector), vector_bytes(vector)
    wide = turned.shape[1]
    sums = turned.ctypes.data
    for begin in range(0, C, piece):
        features = min(piece, C - begin)
        for row in range(0, rows, ROWS):
            height = min(ROWS, rows - row)
            part = w + (row * C + begin) * item
            matmul(vector, part, C * item, item, x + begin * wide * item, 0, sums + row * wide * item, wide * item,
                   height, wide * item // size, features, begin > 0)  # fmt: skip
    for n in range(N):
        for k in range(rows):
            y[n, k] = turned[k, n] + b[k]
