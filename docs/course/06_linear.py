# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # The fully-connected layer
#
# $$y_{nk} = b_k + \sum_c w_{kc} x_{nc} \qquad dx = dy\; w \qquad dw = dy^T x \qquad db = \sum_n dy_n$$
#
# Each gradient has the shape of what it belongs to, and there is only one way to multiply dy with the other factor so
# that it has. Read: `alexnet_np/ops/linear.py`, then `kernels/linear/cpu_numba.py`, and `kernels/linear/streamed.py`
# for one image.

# %%
import matplotlib.pyplot as plt
import numpy as np

import alexnet_np as anp
from alexnet_np import ops

random = np.random.default_rng(6)
x, w, b = random.standard_normal((5, 7)), random.standard_normal((3, 7)), random.standard_normal(3)
dy = random.standard_normal((5, 3))
dw, db = ops.linear_backward_weights(dy, x)
print(np.abs(dw - dy.T @ x).max(), np.abs(ops.linear_backward_data(dy, w) - dy @ w).max())
print(anp.gradcheck(ops.linear, x, w, b).ok)

# %% [markdown]
# **An experiment.** dw is a sum of as many rank-one matrices as there are images: a batch of 4 moves the weights in
# four directions only, however many weights there are. Look at the singular values.

# %%
plt.figure(figsize=(4.5, 3.2))
for batch in (4, 16, 64):
    gradient, _ = ops.linear_backward_weights(random.standard_normal((batch, 64)), random.standard_normal((batch, 128)))
    singular = np.linalg.svd(gradient, compute_uv=False)
    print(batch, "directions:", int((singular > 1e-10 * singular[0]).sum()))
    plt.semilogy(singular.clip(1e-16), label=f"batch of {batch}")
plt.ylim(1e-2, None)
plt.xlabel("number")
plt.ylabel("singular value of dw")
plt.legend()
plt.tight_layout()
plt.savefig("linear.png", dpi=120)
