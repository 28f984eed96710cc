"""softmax_cross_entropy row by row: the shifted logits give the loss, their exponentials the probabilities.

Math     probs = exp(z − max) / Σ exp(z − max);  loss = mean of log Σ exp(z − max) − (z[label] − max);
         dlogits = (probs − [k = label]) / N
Shapes   logits, probs, dlogits (N, K), labels (N,)
Threads  each has a contiguous part of the rows; the rows' losses are added up at the end, in their order
Traffic  probs are written three times; the rows of a part stay in the second-level cache
Change   against cpu_numpy: no temporaries, and threads
"""

from math import ceil

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import softmax_cross_entropy, softmax_cross_entropy_backward
from alexnet_np.parallel import share

from ..compiled import LEAST, jit


@softmax_cross_entropy.kernel("cpu_numba")
def forward(logits: Array, labels: Array, *, out: tuple[Array, Array]) -> None:
    loss, probs = out
    losses = np.empty(len(logits), logits.dtype)

    def body(lo: int, hi: int) -> None:
        y, own = probs[lo:hi], losses[lo:hi]
        np.subtract(logits[lo:hi], logits[lo:hi].max(axis=1, keepdims=True), out=y)
        own[...] = y[np.arange(hi - lo), labels[lo:hi]]
        np.exp(y, out=y)
        _normalise(y, own)

    share(len(logits), body, least=ceil(LEAST / logits.shape[1]))
    loss[...] = losses.mean()


@jit
def _normalise(y, loss):  # type: ignore[no-untyped-def]
    """Divide each row by its sum, and make what is in `loss`, the shifted logit of the label, that row's loss."""
    for n in range(len(y)):
        row, total = y[n], y.dtype.type(0)
        for k in range(len(row)):
            total += row[k]
        for k in range(len(row)):
            row[k] /= total
        loss[n] = np.log(total) - loss[n]


@softmax_cross_entropy_backward.kernel("cpu_numba")
def backward(probs: Array, labels: Array, *, out: Array) -> None:
    images = probs.dtype.type(len(probs))
    labels = labels.astype(labels.dtype.newbyteorder("="), copy=False)  # compiled code knows this order of bytes alone
    share(len(probs), lambda lo, hi: _backward(probs[lo:hi], labels[lo:hi], images, out[lo:hi]),
          least=ceil(LEAST / probs.shape[1]))  # fmt: skip


@jit
def _backward(probs, labels, images, dlogits):  # type: ignore[no-untyped-def]
    for n in range(len(probs)):
        row, result = probs[n], dlogits[n]
        for k in range(len(row)):
            result[k] = row[k] / images
        result[labels[n]] = (row[labels[n]] - probs.dtype.type(1)) / images
