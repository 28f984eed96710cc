"""ReLU and max-pooling in CUDA C++: gpu_cuda.cu says how."""

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import relu_maxpool2d, relu_maxpool2d_backward
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.precision import ALL

from ..cuda.source import BLOCK, Source, blocks
from ..maxpool2d.gpu_cuda import windows

SOURCE = Source(__file__, "gpu_cuda.cu", ["relu_maxpool2d<{T}>", "relu_maxpool2d_backward<{T}>"], ALL)


@relu_maxpool2d.kernel("gpu_cuda", types=ALL)
def forward(x: Array, *, size: Pair, stride: Pair, padding: Sides, out: tuple[Array, Array]) -> None:
    of, count = windows(x.shape, out[0].shape, size, stride, padding), out[0].size
    SOURCE.launch("relu_maxpool2d<{T}>", blocks(count), (BLOCK,), x, *out, np.int64(count), of)


@relu_maxpool2d_backward.kernel("gpu_cuda", types=ALL)
def backward(
    dy: Array, y: Array, index: Array, *, x_shape: tuple[int, ...], size: Pair, stride: Pair, padding: Sides, out: Array
) -> None:
    of, count = windows(x_shape, dy.shape, size, stride, padding), out.size
    SOURCE.launch("relu_maxpool2d_backward<{T}>", blocks(count), (BLOCK,), dy, y, index, out, np.int64(count), of)
