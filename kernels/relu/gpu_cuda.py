"""relu in CUDA C++: gpu_cuda.cu says how."""

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import relu, relu_backward
from alexnet_np.precision import ALL

from ..cuda.source import BLOCK, Source, packs

SOURCE = Source(__file__, "gpu_cuda.cu", ["relu<{T}>", "relu_backward<{T}>"], ALL)


@relu.kernel("gpu_cuda", types=ALL)
def forward(x: Array, *, out: Array) -> None:
    SOURCE.launch("relu<{T}>", packs(x.size, x.dtype), (BLOCK,), x, out, np.int64(x.size))


@relu_backward.kernel("gpu_cuda", types=ALL)
def backward(dy: Array, y: Array, *, out: Array) -> None:
    SOURCE.launch("relu_backward<{T}>", packs(y.size, y.dtype), (BLOCK,), dy, y, out, np.int64(y.size))
