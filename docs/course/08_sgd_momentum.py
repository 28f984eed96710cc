# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # The update: gradient descent with momentum
#
# $$v \leftarrow \mu v - \varepsilon(\lambda w + g) \qquad w \leftarrow w + v$$
#
# This is the paper's: the learning rate ε is inside v. PyTorch's keeps it outside, $v \leftarrow \mu v + g$,
# $w \leftarrow w - \varepsilon v$; the two are the same only while ε stays the same. Read:
# `alexnet_np/ops/sgd_momentum.py`, then
# `kernels/sgd_momentum/cpu_numba.py`: one pass over the memory.

# %%
import matplotlib.pyplot as plt
import numpy as np

from alexnet_np import ops

w, v, g = np.array([1.0, -2.0]), np.zeros(2), np.array([0.5, 0.5])
ops.sgd_momentum_(w, v, g, lr=0.1, momentum=0.9, weight_decay=0.01)
print(w, v)

# %% [markdown]
# **An experiment.** A long narrow valley, $f(w) = (w_0^2 + 50 w_1^2)/2$. Without momentum the step must suit the steep
# direction, and the shallow one takes for ever. What does too much momentum do?

# %%
plt.figure(figsize=(4.5, 3.2))
for momentum in (0.0, 0.5, 0.9, 0.98):
    w, v, path = np.array([10.0, 1.0]), np.zeros(2), []
    for _ in range(120):
        ops.sgd_momentum_(w, v, w * [1, 50], lr=0.02, momentum=momentum, weight_decay=0.0)
        path.append((w[0] ** 2 + 50 * w[1] ** 2) / 2)
    print(momentum, path[-1])
    plt.semilogy(path, label=f"μ = {momentum:g}")
plt.xlabel("step")
plt.ylabel("f")
plt.legend()
plt.tight_layout()
plt.savefig("sgd_momentum.png", dpi=120)

# %% [markdown]
# **Where the paper's rule and PyTorch's part:** cut the learning rate by ten and look at the next step. In the
# paper's, v
# still holds the long steps of before; in PyTorch's they are cut at once.

# %%
g, paper, torch = 1.0, [], []
v = u = 0.0
for step in range(60):
    lr = 0.1 if step < 30 else 0.01
    v, u = 0.9 * v - lr * g, 0.9 * u + g
    paper.append(-v)
    torch.append(lr * u)
print("right after the cut:", round(paper[30], 3), "and", round(torch[30], 3))

# %% [markdown]
# **Weights want their bits.** A step is a small part of a weight: `lr · v` of a thousandth is lost where a number has
# only 8 bits. So where a GPU stores images and weights as bfloat16 (`ops.cast`), the weights that are updated, and v,
# stay float32 (`alexnet_np/precision.py`); here is what happens otherwise.

# %%
w32 = np.float32(1)
w16 = np.float32(1)
for _ in range(1000):
    w32 += np.float32(1e-3)
    bits = np.frombuffer(np.float32(w16 + np.float32(1e-3)).tobytes(), np.uint32)[0]
    w16 = np.frombuffer(np.uint32((int(bits) + 0x7FFF + (int(bits) >> 16 & 1)) & 0xFFFF0000).tobytes(), np.float32)[0]
print("a thousand steps of a thousandth:", w32, "in float32,", w16, "rounded to 8 bits each time")
