"""Softmax and cross-entropy with their gradient in CUDA C++: gpu_cuda.cu says how; then the mean of the losses."""

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import softmax_cross_entropy_with_gradient
from alexnet_np.precision import ALL

from ..cuda.source import Source
from ..softmax_cross_entropy.gpu_cuda import ROW, losses, mean

SOURCE = Source(__file__, "gpu_cuda.cu", ["losses_and_gradients<{T}>"], ALL)


@softmax_cross_entropy_with_gradient.kernel("gpu_cuda", workspace=losses, types=ALL)
def forward(logits: Array, labels: Array, *, out: tuple[Array, Array], workspace: Array) -> None:
    (loss, dlogits), (N, K) = out, logits.shape
    labels = labels.astype(np.int64, copy=False)
    SOURCE.launch("losses_and_gradients<{T}>", (N,), (ROW,), logits, labels, workspace, dlogits, N, K)
    mean(workspace, loss)
