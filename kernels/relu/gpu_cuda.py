"""relu in CUDA C++: gpu_cuda.cu says how."""

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import relu, relu_backward

from ..cuda.source import BLOCK, Source, blocks

SOURCE = Source(__file__, "gpu_cuda.cu", ["relu<{T}>", "relu_backward<{T}>"])
EACH = 4  # elements of a thread


@relu.kernel("gpu_cuda")
def forward(x: Array, *, out: Array) -> None:
    SOURCE.launch("relu<{T}>", blocks(-(-x.size // EACH)), (BLOCK,), x, out, np.int64(x.size))


@relu_backward.kernel("gpu_cuda")
def backward(dy: Array, y: Array, *, out: Array) -> None:
    SOURCE.launch("relu_backward<{T}>", blocks(-(-y.size // EACH)), (BLOCK,), dy, y, out, np.int64(y.size))
