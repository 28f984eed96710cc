"""Images with channels first to channels last, s × s pixels to one, and back ("space to depth").

Math     block[i, j, (c, r, q)] = x[c, i·s + r − top, j·s + q − left], zero outside the image. A window of R × R at
         stride s becomes one of ⌈R/s⌉ × ⌈R/s⌉ at stride 1 over C·s² channels: the paper's conv1 a 3 × 3 over 48
Shapes   x (n, C, H, W); blocks (n, rows, columns, channels), where channels ≥ C·s² and what is more stays zero
Threads  none: for a thread's images, or its rows of blocks, counted over images
Traffic  each once
Change   with s = 1 the plain change of layout, with room for channels that fill vectors
"""

from alexnet_np.backend import Array
from alexnet_np.ops.windows import Sides

from ..compiled import jit, unsigned
from ..layouts import Images


@jit
def to_blocks(x, s, top, left, blocks, first_row, last_row):  # type: ignore[no-untyped-def]
    _, C, H, W = x.shape
    _, rows, columns, channels = blocks.shape
    zero = x.dtype.type(0)
    for number in range(first_row, last_row):
        i, row = divmod(number, rows)
        target = blocks[i, row]
        if channels > C * s * s:
            target[:, C * s * s :] = zero
        for c in range(C):
            for r in range(s):
                h, base = row * s + r - top, (c * s + r) * s
                if h < 0 or h >= H:
                    target[:, base : base + s] = zero
                    continue
                source = x[i, c, h]
                # Columns whose s pixels all lie in the image need no look at each.
                first, last = (left + s - 1) // s, (W + left) // s
                _edge(source, s, left, W, 0, min(first, columns), base, target)
                if s == 4:
                    for j in range(first, min(last, columns)):
                        for q in range(4):
                            target[j, unsigned(base + q)] = source[unsigned(j * 4 + q - left)]
                else:
                    for j in range(first, min(last, columns)):
                        for q in range(s):
                            target[j, unsigned(base + q)] = source[unsigned(j * s + q - left)]
                _edge(source, s, left, W, max(first, min(last, columns)), columns, base, target)


@jit
def _edge(source, s, left, W, first, last, base, target):  # type: ignore[no-untyped-def]
    for j in range(first, last):
        for q in range(s):
            w = j * s + q - left
            target[j, base + q] = source[w] if 0 <= w < W else source.dtype.type(0)


@jit
def from_blocks(blocks, s, top, left, x):  # type: ignore[no-untyped-def]
    """The adjoint: each pixel from its place in the blocks; zero for those that no block holds."""
    n, C, H, W = x.shape
    rows, columns = blocks.shape[1:3]
    held = min(W, columns * s - left)
    for i in range(n):
        for c in range(C):
            for h in range(H):
                row, r = divmod(h + top, s)
                target, base = x[i, c, h], (c * s + r) * s
                target[0 if row >= rows else held :] = 0
                if row < rows:
                    column, q = divmod(left, s)
                    for w in range(held):
                        target[w] = blocks[i, row, column, base + q]
                        q += 1
                        if q == s:
                            column, q = column + 1, 0


@jit
def filters_to_blocks(w, s, out):  # type: ignore[no-untyped-def]
    """w (K, C, R, R) as the filters (K, channels, taps, taps) for blocks of s × s pixels."""
    K, C, R, _ = w.shape
    taps = out.shape[2]
    out[:] = 0
    for k in range(K):
        for c in range(C):
            for i in range(taps * s):
                for j in range(taps * s):
                    inside = i < R and j < R
                    value = w[k, c, i, j] if inside else w.dtype.type(0)
                    out[k, (c * s + i % s) * s + j % s, i // s, j // s] = value


@jit
def filters_from_blocks(blocks, s, w):  # type: ignore[no-untyped-def]
    """The adjoint: the gradient (K, C, R, R) from that of filters for blocks."""
    K, C, R, _ = w.shape
    for k in range(K):
        for c in range(C):
            for i in range(R):
                for j in range(R):
                    w[k, c, i, j] = blocks[k, (c * s + i % s) * s + j % s, i // s, j // s]


class Blocks(Images):
    """Images of which a kernel sees the blocks of s × s pixels; shape: (N, channels, rows, columns) of these."""

    def __init__(self, shape: tuple[int, ...], s: int, padding: Sides) -> None:
        super().__init__(shape)
        self._s, self._before = s, (padding[0][0], padding[1][0])

    def _with_rows(self, blocks: Array) -> Array:
        _, channels, rows, columns = self.shape
        return blocks.reshape(-1, rows, columns, channels)

    def read(self, x: Array, xs: Array) -> None:
        to_blocks(x, self._s, *self._before, self._with_rows(xs), 0, len(x) * self.shape[2])

    def write(self, xs: Array, x: Array) -> None:
        from_blocks(self._with_rows(xs), self._s, *self._before, x)
