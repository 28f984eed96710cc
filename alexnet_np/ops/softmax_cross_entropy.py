"""Softmax and cross-entropy in one: the loss of a classifier, as the mean over the batch.

    loss = 1/N · Σ_n ( log Σ_j exp(z[n,j]) − z[n, label n] )

for logits z (N, K). The largest logit of each row is subtracted first; the logarithm never sees a probability, so
logits of ±1e4 give a finite loss.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from ..backend import Array
from ..dispatch import op
from ..operation import Spec
from ..precision import accumulator
from . import checks


@op(returns=("loss", "probs"), backward=("softmax_cross_entropy_backward",), analytic=True)
def softmax_cross_entropy(logits: Array, labels: Array) -> tuple[Array, Array]:
    """loss, an array of shape (), and probs (N, K) from logits (N, K) and integer labels (N,).

    Raises ValueError for labels outside 0 … K − 1 or shapes that do not fit, TypeError for the dtypes.
    """
    shifted = logits - logits.real.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1)
    own = shifted[np.arange(len(labels)), labels]
    return (np.log(total) - own).mean(), np.exp(shifted) / total[:, None]


# ∂ log Σ_j exp(z[j]) / ∂z[k] = probs[k] and ∂z[label]/∂z[k] = [k = label], and the mean brings 1/N:
#
#   dlogits[n,k] = (probs[n,k] − [k = label n]) / N


@op(returns=("dlogits",))
def softmax_cross_entropy_backward(probs: Array, labels: Array) -> Array:
    """Gradient of the loss, dlogits (N, K), from the forward's probs and labels; 1/N is inside."""
    dlogits = probs.copy()
    dlogits[np.arange(len(labels)), labels] -= 1
    return dlogits / len(labels)


def _infer(name: str, scores: Spec, labels: Spec) -> None:
    checks.floats(**{name: scores})
    checks.rank(name, scores, "N K")
    checks.shape("labels", labels, scores.shape[:1], f"one for each row of {name}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels has dtype {labels.dtype}, expected integers")


@softmax_cross_entropy.define_infer
def _(logits: Spec, labels: Spec) -> tuple[Spec, ...]:
    _infer("logits", logits, labels)
    kept = accumulator(logits.dtype)
    return Spec((), kept, logits.device), Spec(logits.shape, kept, logits.device)


@softmax_cross_entropy_backward.define_infer
def _(probs: Spec, labels: Spec) -> tuple[Spec, ...]:
    _infer("probs", probs, labels)
    return (probs,)


@softmax_cross_entropy.define_check
def _(logits: Array, labels: Array) -> None:
    checks.below("labels", labels, logits.shape[1], "the classes")


@softmax_cross_entropy_backward.define_check
def _(probs: Array, labels: Array) -> None:
    checks.below("labels", labels, probs.shape[1], "the classes")


@softmax_cross_entropy.define_flops
def _(logits: Spec, labels: Spec) -> int:
    return 5 * prod(logits.shape)


@softmax_cross_entropy_backward.define_flops
def _(probs: Spec, labels: Spec) -> int:
    return 2 * prod(probs.shape)


@softmax_cross_entropy.define_cases
def _(draw: Any) -> Iterator[tuple[str, dict[str, Array], dict[str, Any]]]:
    yield "plain", {"logits": draw(5, 10), "labels": draw.integers(5, below=10)}, {}
    yield "one class", {"logits": draw(3, 1), "labels": draw.integers(3, below=1)}, {}
    yield "one image", {"logits": draw(1, 1000), "labels": draw.integers(1, below=1000)}, {}
    yield "far from zero, near each other", {"logits": 300 + draw(6, 5), "labels": draw.integers(6, below=5)}, {}
    yield "logits of ±1e4", {"logits": 1e4 * np.sign(draw(6, 5)), "labels": draw.integers(6, below=5)}, {}
