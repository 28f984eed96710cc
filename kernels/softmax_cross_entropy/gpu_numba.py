"""Softmax and cross-entropy in Numba CUDA: a block for each row, then one for the mean of their losses.

Math     probs = exp(z − max z) / Σ exp(z − max z);  loss = mean over n of log Σ exp(z − max z) − (z[label] − max z)
         dlogits = (probs − [k = label]) / N
Shapes   logits, probs, dlogits (N, K), labels (N,), losses (N,), loss ()
Threads  grid N, block 128, a thread has every 128th class; the mean: one block; the backward: element by element
Traffic  logits and probs once from memory; a row comes from the cache when it is read again
Change   against one thread for a row: 128 of them. The mean is summed in one order: the same loss each time
"""

import math
from typing import Any

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import softmax_cross_entropy, softmax_cross_entropy_backward

from ..numba_cuda import ROW, cuda, kernel, launch, over, per_dtype
from ..numba_sums import folds

ROWS, LABELS, LOSSES = "float32[:, ::1]", "int64[::1]", "float32[::1]"


@per_dtype
def _kernels(dtype: Any) -> tuple[Any, Any]:
    total, largest = folds(dtype)

    @kernel(ROWS, LABELS, LOSSES, ROWS)
    def row_losses(logits, labels, losses, probs):  # type: ignore[no-untyped-def]
        n, t, K = cuda.blockIdx.x, cuda.threadIdx.x, logits.shape[1]
        top = logits[n, min(t, K - 1)]
        for k in range(t, K, ROW):
            top = max(top, logits[n, k])
        top = largest(top)
        sum_ = logits.dtype.type(0)
        for k in range(t, K, ROW):
            e = math.exp(logits[n, k] - top)
            probs[n, k] = e
            sum_ += e
        sum_ = total(sum_)
        for k in range(t, K, ROW):
            probs[n, k] /= sum_
        if t == 0:
            losses[n] = math.log(sum_) - (logits[n, labels[n]] - top)

    @kernel(LOSSES, LOSSES, "float32")
    def mean(losses, loss, count):  # type: ignore[no-untyped-def]
        sum_ = losses.dtype.type(0)
        for n in range(cuda.threadIdx.x, losses.size, ROW):
            sum_ += losses[n]
        sum_ = total(sum_)
        if cuda.threadIdx.x == 0:
            loss[0] = sum_ / count

    return row_losses, mean


@kernel(ROWS, LABELS, ROWS, "float32")
def _backward(probs, labels, dlogits, count):  # type: ignore[no-untyped-def]
    for i in range(cuda.grid(1), probs.size, cuda.gridsize(1)):
        n, k = i // probs.shape[1], i % probs.shape[1]
        own = probs.dtype.type(1) if labels[n] == k else probs.dtype.type(0)
        dlogits[n, k] = (probs[n, k] - own) / count


def _losses(logits: Spec, labels: Spec, **_: Any) -> Spec:
    return Spec(logits.shape[:1], logits.dtype, logits.device)


@softmax_cross_entropy.kernel("gpu_numba", workspace=_losses)
def forward(logits: Array, labels: Array, *, out: tuple[Array, Array], workspace: Array) -> None:
    (loss, probs), N = out, len(logits)
    row_losses, mean = _kernels(logits.dtype)
    launch(row_losses, (N,), (ROW,), logits, labels.astype("i8", copy=False), workspace, probs)
    launch(mean, (1,), (ROW,), workspace, loss.reshape(1), logits.dtype.type(N))


@softmax_cross_entropy_backward.kernel("gpu_numba")
def backward(probs: Array, labels: Array, *, out: Array) -> None:
    over(probs.size, _backward, probs, labels.astype("i8", copy=False), out, probs.dtype.type(len(probs)))
