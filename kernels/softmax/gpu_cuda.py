"""Softmax in CUDA C++: gpu_cuda.cu says how."""

from alexnet_np.backend import Array
from alexnet_np.ops import softmax, softmax_backward
from alexnet_np.precision import ALL

from ..cuda.source import Source

SOURCE = Source(__file__, "gpu_cuda.cu", ["softmax<{T}>", "softmax_backward<float>", "softmax_backward<double>"], ALL)
ROW = 128  # threads


@softmax.kernel("gpu_cuda", types=ALL)
def forward(x: Array, *, out: Array) -> None:
    SOURCE.launch("softmax<{T}>", x.shape[:1], (ROW,), x, out, x.shape[1])


@softmax_backward.kernel("gpu_cuda")
def backward(dy: Array, y: Array, *, out: Array) -> None:
    SOURCE.launch("softmax_backward<{T}>", y.shape[:1], (ROW,), dy, y, out, y.shape[1])
