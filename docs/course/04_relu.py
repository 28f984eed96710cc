# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Rectified linear units
#
# $$y = \max(x, 0) \qquad dx = dy\,[y > 0]$$
#
# At 0 there is no derivative; the backward takes 0, so that the output alone tells where the gradient flows, and x need
# not be kept. NaN stays NaN. Read: `alexnet_np/ops/relu.py`, then `kernels/relu/cpu_numba.py`.

# %%
import matplotlib.pyplot as plt
import numpy as np

import alexnet_np as anp
from alexnet_np import ops

x = np.linspace(-2, 2, 9)
y = ops.relu(x)
print(y, ops.relu_backward(np.ones_like(x), y))

# %% [markdown]
# **An experiment.** How much of a signal survives a stack of layers, forward and backward? He's initialisation draws
# weights of variance 2/n, because a ReLU halves the energy. Try other factors than 2.

# %%
random, layers, n = np.random.default_rng(3), 12, 256
plt.figure(figsize=(4.5, 3.2))
for factor in (1.0, 2.0, 3.0):
    signal, norms = random.standard_normal((64, n)), []
    for _ in range(layers):
        w = random.standard_normal((n, n)) * np.sqrt(factor / n)
        signal = ops.relu(ops.linear(signal, w, np.zeros(n)))
        norms.append(np.sqrt((signal**2).mean()))
    print(factor, round(norms[-1], 4))
    plt.semilogy(range(1, layers + 1), norms, label=f"variance {factor:g}/n")
plt.xlabel("layer")
plt.ylabel("size of the signal")
plt.legend()
plt.tight_layout()
plt.savefig("relu.png", dpi=120)

# %% [markdown]
# A kink is where checkers go wrong: a difference over a step that straddles it is neither slope. Ours looks at both
# sides.

# %%
print(anp.gradcheck(ops.relu, np.array([[0.0, 1e-9, -1e-9, 0.5]])).text())
