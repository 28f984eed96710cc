"""softmax_cross_entropy row by row: what the probabilities are divided by gives the loss.

Math     probs = exp(z − max) / Σ exp(z − max);  loss = mean of log Σ exp(z − max) − (z[label] − max);
         dlogits = (probs − [k = label]) / N
Shapes   logits, probs, dlogits (N, K), labels (N,)
Threads  each has a contiguous part of the rows; the rows' losses are added up at the end, in their order
Traffic  the least from memory: a row stays in the first-level cache while it is gone over four times
Change   against cpu_numpy: no temporaries, an exponential in vector code, and threads
"""

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import softmax_cross_entropy, softmax_cross_entropy_backward
from alexnet_np.parallel import share

from ..compiled import jit
from ..softmax.row import least_rows, softmax_row


@softmax_cross_entropy.kernel("cpu_numba")
def forward(logits: Array, labels: Array, *, out: tuple[Array, Array]) -> None:
    loss, probs = out
    labels, losses = _native(labels), np.empty(len(logits), logits.dtype)
    share(len(logits), lambda lo, hi: _forward(logits[lo:hi], labels[lo:hi], probs[lo:hi], losses[lo:hi]),
          least=least_rows(logits.shape[1]))  # fmt: skip
    loss[...] = losses.mean()


def _native(labels: Array) -> Array:
    """In the order of bytes that compiled code knows, this machine's."""
    return labels.astype(labels.dtype.newbyteorder("="), copy=False)


@jit
def _forward(logits, labels, probs, losses):  # type: ignore[no-untyped-def]
    for n in range(len(logits)):
        top, total = softmax_row(logits[n], probs[n])
        losses[n] = np.log(total) - (logits[n, labels[n]] - top)


@softmax_cross_entropy_backward.kernel("cpu_numba")
def backward(probs: Array, labels: Array, *, out: Array) -> None:
    images = probs.dtype.type(len(probs))
    labels = _native(labels)
    share(len(probs), lambda lo, hi: _backward(probs[lo:hi], labels[lo:hi], images, out[lo:hi]),
          least=least_rows(probs.shape[1]))  # fmt: skip


@jit
def _backward(probs, labels, images, dlogits):  # type: ignore[no-untyped-def]
    for n in range(len(probs)):
        row, result = probs[n], dlogits[n]
        for k in range(len(row)):
            result[k] = row[k] / images
        result[labels[n]] = (row[labels[n]] - probs.dtype.type(1)) / images
