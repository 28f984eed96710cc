"""Max-pooling in CUDA C++: gpu_cuda.cu says how."""

from typing import Any

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import maxpool2d, maxpool2d_backward
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.precision import ALL

from ..cuda.source import BLOCK, Source, blocks, structure

SOURCE = Source(__file__, "gpu_cuda.cu", ["maxpool2d<{T}>", "maxpool2d_backward<{T}>"], ALL)


def windows(x: tuple[int, ...], y: tuple[int, ...], size: Pair, stride: Pair, padding: Sides) -> Any:
    H, W, P, Q = *x[2:], *y[2:]
    R, S, down, across = *size, *stride
    return structure(H=H, W=W, P=P, Q=Q, R=R, S=S, down=down, across=across, top=padding[0][0], left=padding[1][0])


@maxpool2d.kernel("gpu_cuda", types=ALL)
def forward(x: Array, *, size: Pair, stride: Pair, padding: Sides, out: tuple[Array, Array]) -> None:
    y, index = out
    of = windows(x.shape, y.shape, size, stride, padding)
    SOURCE.launch("maxpool2d<{T}>", blocks(y.size), (BLOCK,), x, y, index, np.int64(y.size), of)


@maxpool2d_backward.kernel("gpu_cuda", types=ALL)
def backward(
    dy: Array, index: Array, *, x_shape: tuple[int, ...], size: Pair, stride: Pair, padding: Sides, out: Array
) -> None:
    of = windows(x_shape, dy.shape, size, stride, padding)
    SOURCE.launch("maxpool2d_backward<{T}>", blocks(out.size), (BLOCK,), dy, index, out, np.int64(out.size), of)
