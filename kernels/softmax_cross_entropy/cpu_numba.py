"""softmax_cross_entropy row by row: what the probabilities are divided by gives the loss.

Math     probs = exp(z − max) / Σ exp(z − max);  loss = mean of log Σ exp(z − max) − (z[label] − max);
         dlogits = (probs − [k = label]) / N
Shapes   logits, probs, dlogits (N, K), labels (N,)
Threads  each takes contiguous parts of the rows; the rows' losses are added up at the end, in their order
Traffic  the least from memory: a row stays in the first-level cache while it is gone over four times
Change   against cpu_numpy: no temporaries, an exponential in vector code, and threads
"""

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import softmax_cross_entropy, softmax_cross_entropy_backward

from ..compiled import jit, jit_in_order
from ..softmax.row import least_rows, softmax_row
from ..team import parallel_for, team


@softmax_cross_entropy.kernel("cpu_numba")
def forward(logits: Array, labels: Array, *, out: tuple[Array, Array]) -> None:
    loss, probs = out
    _forward(team(len(logits), least_rows(logits.shape[1])), logits, _native(labels), probs, loss)


def _native(labels: Array) -> Array:
    """In the order of bytes that compiled code knows, this machine's."""
    return labels.astype(labels.dtype.newbyteorder("="), copy=False)


@jit
def _forward(members, logits, labels, probs, loss):  # type: ignore[no-untyped-def]
    losses, total = np.empty(len(logits), logits.dtype), 0.0
    parallel_for(members, len(logits), _forward_part, (logits, labels, probs, losses))
    for each in losses:
        total += each
    loss[()] = total / len(losses)


@jit_in_order  # in another order, logits of 10⁴ would be added to the logarithm, and take its digits away
def _forward_part(lo, hi, logits, labels, probs, losses):  # type: ignore[no-untyped-def]
    for n in range(lo, hi):
        top, total = softmax_row(logits[n], probs[n])
        losses[n] = np.log(total) - (logits[n, labels[n]] - top)


@softmax_cross_entropy_backward.kernel("cpu_numba")
def backward(probs: Array, labels: Array, *, out: Array) -> None:
    images = probs.dtype.type(len(probs))
    _backward(team(len(probs), least_rows(probs.shape[1])), probs, _native(labels), images, out)


@jit
def _backward(members, probs, labels, images, dlogits):  # type: ignore[no-untyped-def]
    parallel_for(members, len(probs), _backward_part, (probs, labels, images, dlogits))


@jit
def _backward_part(lo, hi, probs, labels, images, dlogits):  # type: ignore[no-untyped-def]
    for n in range(lo, hi):
        row, result = probs[n], dlogits[n]
        for k in range(len(row)):
            result[k] = row[k] / images
        result[labels[n]] = (row[labels[n]] - probs.dtype.type(1)) / images
