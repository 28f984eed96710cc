# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Max-pooling
#
# The largest element of every window, and where it stands:
#
# $$y_{ncpq} = \max_{(h,w) \in window(p,q)} x_{nchw}$$
#
# **Backward.** y copies one element of x, so all of dy goes to that element. Where windows overlap, as the paper's do
# (size 3, stride 2), an element may win several times and gets the sum:
#
# $$dx_{nchw} = \sum_{(p,q)\,:\,(h,w)\ \mathrm{won}} dy_{ncpq}$$
#
# At a tie the first in row-major order wins here; any share between the winners would be a valid subgradient, and
# frameworks differ. Read: `alexnet_np/ops/maxpool2d.py`, then `kernels/maxpool2d/cpu_numpy.py`.

# %%
import matplotlib.pyplot as plt
import numpy as np

import alexnet_np as anp
from alexnet_np import ops

random = np.random.default_rng(1)
x = random.standard_normal((1, 1, 9, 9))
y, index = ops.maxpool2d(x, size=3, stride=2)
dx = ops.maxpool2d_backward(np.ones_like(y), index, x_shape=x.shape, size=3, stride=2)
print(y.shape, "windows won by the busiest pixel:", int(dx.max()))

# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 3.2))
axes[0].imshow(x[0, 0], cmap="PuOr", vmin=-3, vmax=3)
axes[0].set_title("x")
axes[1].imshow(dx[0, 0], cmap="cividis")
axes[1].set_title("windows that each pixel wins")
figure.savefig("maxpool2d.png", dpi=120)

# %% [markdown]
# **An experiment.** At a tie there is no derivative, only one-sided slopes. The checker measures both, and accepts what
# lies between them: make a tie and look at what it says.

# %%
tied = np.array([[[[1.0, 1.0], [0.3, -0.2]]]])
print(anp.gradcheck(ops.maxpool2d, tied, size=2, stride=2).text())
