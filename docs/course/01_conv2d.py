# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Convolution
#
# Every output sees a window of the input, through the same weights:
#
# $$y_{nkpq} = b_k + \sum_{c,r,s} w_{kcrs}\; \hat x_{n,c,\,p\cdot stride+r,\,q\cdot stride+s}$$
#
# x̂ is x with zeros around it. Shapes: x (N, C, H, W), w (K, C, R, S), y (N, K, P, Q).
#
# **Backward.** A weight meets every window once, so its gradient is a sum over windows; an input stands in up to
# R·S windows, so its gradient is a sum over those:
#
# $$\frac{\partial L}{\partial w_{kcrs}} = \sum_{n,p,q} dy_{nkpq}\,\hat x_{n,c,p\cdot stride+r,\dots}
#   \qquad \frac{\partial L}{\partial \hat x_{nchw}} = \sum_{k,r,s} w_{kcrs}\, dy_{nkpq}$$
#
# where $p \cdot stride + r = h$ and $q \cdot stride + s = w$.
#
# Read: `alexnet_np/ops/conv2d.py` (definition and derivation), then `kernels/conv2d/cpu_numpy.py` (im2col and one
# matrix product), then `kernels/conv2d/channels_last.py` (Winograd).

# %%
import matplotlib.pyplot as plt
import numpy as np

import alexnet_np as anp
from alexnet_np import ops

random = np.random.default_rng(0)
x, w, b = random.standard_normal((1, 3, 9, 9)), random.standard_normal((4, 3, 3, 3)), random.standard_normal(4)
y = ops.conv2d(x, w, b, stride=2, padding=1)
print(x.shape, w.shape, "->", y.shape)

# %% [markdown]
# **im2col.** Each window becomes a column; then all outputs are one matrix product. Its transpose, col2im, adds the
# columns back to where they came from: an element that stands in several windows gets the sum.

# %%
columns = anp.im2col(x, 3, stride=2, padding=1)
product = w.reshape(4, -1) @ columns[0] + b[:, None]
print(columns.shape, np.abs(product.reshape(y.shape[1:]) - y[0]).max())

counts = anp.col2im(np.ones_like(columns), x.shape, 3, stride=2, padding=1)
plt.figure(figsize=(4, 3.4))
plt.imshow(counts[0, 0], cmap="cividis")
plt.colorbar(label="windows that hold the pixel")
plt.title("col2im of ones: stride 2, 3 × 3")
plt.savefig("conv2d.png", dpi=120)

# %% [markdown]
# **An experiment.** Both gradients are again convolutions of a kind. With the product above in mind,
# dw is `dy · columnsᵀ`, and dx is `col2im(wᵀ · dy)`. Check that, and then let the checker judge.

# %%
dy = random.standard_normal(y.shape)
dx, dw, db = ops.conv2d_backward(dy, x, w, stride=2, padding=1)
rows = dy.reshape(4, -1)
print("dw", np.abs((rows @ columns[0].T).reshape(w.shape) - dw).max())
print("dx", np.abs(anp.col2im((w.reshape(4, -1).T @ rows)[None], x.shape, 3, stride=2, padding=1) - dx).max())
print(anp.gradcheck(ops.conv2d, x, w, b, stride=2, padding=1).ok)
