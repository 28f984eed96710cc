"""The ladder of compiled convolutions, and which rung runs where none is asked for.

    cpu_numba/direct        plain loops
    cpu_numba/im2col        the columns of the whole batch, then BLAS
    cpu_numba/columns       columns that stay in a core's cache around BLAS
    cpu_numba/winograd_2x2  the smallest of Winograd's tiles
    cpu_numba/winograd      the tile that fits the map
    cpu_numba/blocks        at a stride: pixels to channels, then Winograd's tiles

Winograd's tiles run two to three times as fast where vectors of channels fill a register and there are so many tiles
that transforming the filters pays; in blocks, conv1 one and a half times to twice. In float64, which is for checking,
the exact sums stay.
"""

from typing import Any

import numpy as np

from alexnet_np.operation import Spec
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.windows import Pair

from ..vector import lanes
from . import cpu_numba_blocks as blocks
from . import cpu_numba_columns, cpu_numba_direct, cpu_numba_im2col, cpu_numba_winograd_2x2  # noqa: F401 (they register themselves)
from .cpu_numba_winograd import refuses, tiles

LEAST_LANES = 8  # of float32: half a register of AVX-512, a whole one of AVX2
LEAST_TILES = 96  # in the batch: below, more time goes to the filters than to the images


def _rung(images: int, w: tuple[int, ...], outputs: Pair, stride: Pair, groups: int, dtype: Any) -> str:
    if stride == (1, 1):
        rung, refused, side, channels = "cpu_numba/winograd", refuses(w[2:], stride), w[2], w[1]
    else:
        rung, refused = "cpu_numba/blocks", blocks.refuses(w[2:], stride, groups)
        side, channels = blocks.taps(w[2], stride[0]), w[1] * stride[0] ** 2
    if (
        dtype == np.float32
        and refused is None
        and lanes(dtype, channels, w[0] // groups) >= LEAST_LANES
        and images * tiles(side, outputs) >= LEAST_TILES
    ):
        return rung
    return "cpu_numba/columns"


@conv2d.choose("cpu_numba")
def _(x: Spec, w: Spec, b: Spec, *, stride: Pair, padding: Any, groups: int) -> str:
    y = conv2d.infer(x, w, b, stride=stride, padding=padding, groups=groups)[0]
    return _rung(x.shape[0], w.shape, (y.shape[2], y.shape[3]), stride, groups, x.dtype)


@conv2d_backward_data.choose("cpu_numba")
def _(dy: Spec, w: Spec, *, stride: Pair, groups: int, **_: Any) -> str:
    return _rung(dy.shape[0], w.shape, (dy.shape[2], dy.shape[3]), stride, groups, dy.dtype)


@conv2d_backward_weights.choose("cpu_numba")
def _(dy: Spec, x: Spec, *, w_shape: tuple[int, ...], stride: Pair, groups: int, **_: Any) -> str:
    return _rung(dy.shape[0], w_shape, (dy.shape[2], dy.shape[3]), stride, groups, dy.dtype)
