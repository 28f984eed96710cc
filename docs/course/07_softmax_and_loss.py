# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Softmax and the loss
#
# $$p_k = \frac{e^{z_k}}{\sum_j e^{z_j}} \qquad L = -\frac1N\sum_n \log p_{n,label(n)}
#   \qquad \frac{\partial L}{\partial z_{nk}} = \frac{p_{nk} - [k = label(n)]}{N}$$
#
# The gradient of the two together is shorter than that of either: what the network says minus what is right. Apart, the
# softmax's own is $dx_k = y_k\,(dy_k - \sum_j dy_j y_j)$, and dy would be $-1/p$, which may be infinite. The largest
# logit is subtracted first, and the logarithm never sees a probability.
#
# Read: `alexnet_np/ops/softmax_cross_entropy.py` and `alexnet_np/ops/softmax.py`, then
# `kernels/softmax_cross_entropy/cpu_numba.py`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from alexnet_np import ops

logits, labels = np.array([[2.0, 1.0, -1.0], [0.0, 0.0, 0.0]]), np.array([0, 2])
loss, probs = ops.softmax_cross_entropy(logits, labels)
print(float(loss), probs, ops.softmax_cross_entropy_backward(probs, labels), sep="\n")

# %% [markdown]
# **An experiment.** Compute the loss by its formula, −log of a softmax, in float32, and watch where it breaks.

# %%
naive, ours, margins = [], [], np.arange(0, 200, 4)
for margin in margins:
    z = np.array([[0.0, margin]], np.float32)
    with np.errstate(all="ignore"):
        e = np.exp(z)
        naive.append(float(-np.log(e[0, 0] / e.sum())))
    ours.append(float(ops.softmax_cross_entropy(z, np.array([0]))[0]))
print("finite up to a margin of", margins[np.isfinite(naive)].max(), "and", margins[np.isfinite(ours)].max())
plt.figure(figsize=(4.5, 3.2))
plt.plot(margins, ours, label="logits − log Σ exp")
plt.plot(margins, naive, "--", label="−log(exp / Σ exp)")
plt.xlabel("margin of the wrong class")
plt.ylabel("loss")
plt.legend()
plt.tight_layout()
plt.savefig("softmax.png", dpi=120)
