# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Local response normalisation
#
# A response is divided by a power of its neighbours' energy, across channels:
#
# $$s_c = k + a\sum_{j \in window(c)} x_j^2 \qquad y_c = x_c\, s_c^{-\beta}$$
#
# **Backward.** x_c stands in its own y and in the scale of every channel whose window holds it:
#
# $$dx_c = dy_c\, s_c^{-\beta} - 2a\beta\, x_c \sum_{j \in window(c)} dy_j\, x_j\, s_j^{-\beta-1}$$
#
# Is a the paper's α, or α divided by the size of the window, as in Caffe and PyTorch? Is k 2 or 1? Here both are
# keywords. Read: `alexnet_np/ops/lrn.py`, then `kernels/lrn/cpu_numpy.py`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from alexnet_np import ops

random = np.random.default_rng(2)
x, dy = random.standard_normal((1, 16, 1, 1)), random.standard_normal((1, 16, 1, 1))
y, scale = ops.lrn(x, alpha=1.0)
dx = ops.lrn_backward(dy, x, scale, alpha=1.0)
print(np.abs(x / y).ravel()[:4])

# %% [markdown]
# **An experiment.** With the paper's α = 1e-4 the cross-channel term nearly vanishes, and a test that forgets it
# passes.
# How large is it, as α grows?

# %%
alphas, shares = 10.0 ** np.arange(-5, 1), []
for alpha in alphas:
    _, scale = ops.lrn(x, alpha=alpha)
    whole = ops.lrn_backward(dy, x, scale, alpha=alpha)
    own = dy * scale**-0.75
    shares.append(float(np.abs(whole - own).max() / np.abs(whole).max()))
print(dict(zip(alphas.tolist(), shares, strict=True)))
plt.figure(figsize=(4.5, 3.2))
plt.loglog(alphas, shares, "o-")
plt.xlabel("α")
plt.ylabel("cross-channel term, share of dx")
plt.tight_layout()
plt.savefig("lrn.png", dpi=120)
