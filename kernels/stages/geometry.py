"""How a convolution becomes Winograd's tiles of channels-last images: what the cores of a stage are told of it."""

from math import ceil
from typing import NamedTuple

import numpy as np

from alexnet_np.layers import Conv2d
from alexnet_np.ops.windows import output_size, pair, sides
from alexnet_np.plan.arena import Buffer

from ..conv2d.channels_last import GAP, apart
from ..conv2d.tiles import TILES, best
from ..static import Static
from ..vector import REGISTER_BYTES, lanes

LEAST_BYTES = 32  # of a vector of channels: below, half a register of AVX would lie idle


class Geometry(NamedTuple):
    """A convolution as tiles.

    blocks    (s, top, left): images with channels first are brought to blocks of s × s pixels; None: they lie with
              channels last already
    x, y      shapes of an image for the cores, (H, W, C), and of what they make, (P, Q, K)
    r         side of the filters for the cores, with zeros where the layer's are smaller
    tile      F(m, r) with ReLU if wanted; vector: Static(itemsize, lanes)
    shape     what channels_last.py calls `shape`
    """

    blocks: tuple[int, int, int] | None
    x: tuple[int, int, int]
    y: tuple[int, int, int]
    r: int
    m: int
    vector: Static
    shape: tuple[int, ...]

    def tile(self, relu: bool) -> Static:
        return Static(self.m, self.r, *self.vector.value, relu)

    @property
    def groups(self) -> int:
        return self.shape[6]

    @property
    def elements(self) -> int:
        """n², of a tile."""
        return self.shape[10] ** 2

    @property
    def tiles(self) -> int:
        """In an image."""
        return self.shape[11] * self.shape[12]

    @property
    def itemsize(self) -> int:
        return int(self.vector.value[0])

    def v(self, tiles: int) -> int:
        """Bytes of V for so many tiles."""
        return self.elements * self.v_point(tiles)

    @property
    def kept_row(self) -> int:
        """Bytes from one tile to the next in the V that dU is made of."""
        return apart(self.x[2] * self.itemsize)

    def kept_point(self, tiles: int) -> int:
        """Bytes from one element's matrix to the next in it."""
        return tiles * self.kept_row + GAP

    def m_(self, tiles: int) -> int:
        """Bytes of M."""
        return self.elements * self.m_point(tiles)

    def v_point(self, tiles: int) -> int:
        """Bytes from one element's matrix to the next."""
        return tiles * self.x[2] * self.itemsize + GAP

    def m_point(self, tiles: int) -> int:
        return tiles * self.y[2] * self.itemsize + GAP

    @property
    def u_shape(self) -> tuple[int, int]:
        """Of U, Uᵀ and dU, in numbers."""
        return self.elements, self.x[2] // self.groups * self.y[2] + GAP // self.itemsize


def geometry(conv: Conv2d, x: Buffer, trains: bool) -> Geometry | None:
    """None for a convolution that the cores do not take. Who trains has many images, so that the tile is theirs."""
    (K, c, R, S), groups = conv.shapes["weight"], conv.options["groups"]
    stride, padding = pair("stride", conv.options["stride"]), sides("padding", conv.options["padding"])
    if R != S or stride[0] != stride[1]:
        return None
    s, C = stride[0], c * groups
    r = min((r for _, r in TILES if r >= ceil(R / s)), default=None)
    if r is None:
        return None
    top, left = padding[0][0], padding[1][0]
    if x.layout == "last":
        if s > 1:
            return None
        H, W, channels = x.shape[1:]
        P, Q = output_size((H, W), (R, R), stride, padding)
        blocks = None
    else:
        P, Q = output_size((x.shape[2], x.shape[3]), (R, R), stride, padding)
        full = REGISTER_BYTES // np.dtype(x.dtype).itemsize
        channels = C * s * s if groups > 1 else ceil(C * s * s / full) * full
        H, W, blocks, top, left = P + r - 1, Q + r - 1, (s, top, left), 0, 0
    width = lanes(x.dtype, channels // groups, K // groups)
    if width * np.dtype(x.dtype).itemsize < min(LEAST_BYTES, REGISTER_BYTES):
        return None
    tile = best(r, (P, Q), None if trains else x.shape[0])
    assert tile is not None
    m, n = tile[0], tile[0] + r - 1
    shape = (H, W, channels, P, Q, K, groups, top, left, m, n, ceil(P / m), ceil(Q / m))
    vector = Static(np.dtype(x.dtype).itemsize, width)
    return Geometry(blocks, (H, W, channels), (P, Q, K), r, m, vector, shape)
