"""Softmax and cross-entropy in CUDA C++: gpu_cuda.cu says how."""

from typing import Any

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import softmax_cross_entropy, softmax_cross_entropy_backward
from alexnet_np.precision import ALL, accumulator

from ..cuda.source import BLOCK, Source, blocks

FLOAT_KERNELS = [f"{name}<{T}>" for name in ("mean", "cross_entropy_backward") for T in ("float", "double")]
SOURCE = Source(__file__, "gpu_cuda.cu", ["row_losses<{T}>", *FLOAT_KERNELS], ALL)
ROW = 128  # threads


def losses(logits: Spec, labels: Spec, **_: Any) -> Spec:
    return Spec(logits.shape[:1], accumulator(logits.dtype), logits.device)


@softmax_cross_entropy.kernel("gpu_cuda", workspace=losses, types=ALL)
def forward(logits: Array, labels: Array, *, out: tuple[Array, Array], workspace: Array) -> None:
    (loss, probs), (N, K) = out, logits.shape
    labels = labels.astype(np.int64, copy=False)
    SOURCE.launch("row_losses<{T}>", (N,), (ROW,), logits, labels, workspace, probs, K)
    mean(workspace, loss)


def mean(losses: Array, loss: Array) -> None:
    """The mean of a loss for each row, by one block."""
    SOURCE.launch("mean<{T}>", (1,), (ROW,), losses, loss, losses.size)


@softmax_cross_entropy_backward.kernel("gpu_cuda")
def backward(probs: Array, labels: Array, *, out: Array) -> None:
    labels, (N, K) = labels.astype(np.int64, copy=False), probs.shape
    SOURCE.launch("cross_entropy_backward<{T}>", blocks(probs.size), (BLOCK,), probs, labels, out, N, K)
