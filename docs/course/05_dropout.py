# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Dropout
#
# Each element is kept, or set to zero, by its own random word: $y_i = f\, x_i\, [word_i \ge rate \cdot 2^{32}]$, and
# $dx_i = f\, dy_i\,[\dots]$ with the same words.
#
# Two conventions keep the expected output the same: f = 1/(1 − rate) while training (Caffe, PyTorch), or f = 1, and
# (1 − rate) when predicting (the paper). The words are Philox's, a function of (seed, layer, iteration, i): nothing is
# stored for the backward, a step can be repeated, and every backend drops the same elements.
#
# Read: `alexnet_np/ops/dropout.py` and `alexnet_np/ops/philox.py`, then `kernels/philox.py`, where the words never
# leave the
# registers.

# %%
import matplotlib.pyplot as plt
import numpy as np

from alexnet_np import ops

x = np.random.default_rng(4).standard_normal((200, 200))
y = ops.dropout(x, rate=0.5, key=(0, 3, 7))
again = ops.dropout(x, rate=0.5, key=(0, 3, 7))
print("kept", np.mean(y != 0), "the same again", np.array_equal(y, again))
print("another iteration keeps the same", np.mean((ops.dropout(x, rate=0.5, key=(0, 3, 8)) != 0) == (y != 0)))

# %%
plt.figure(figsize=(3.4, 3.4))
plt.imshow(y != 0, cmap="cividis")
plt.title("kept, rate 0.5")
plt.savefig("dropout.png", dpi=120)

# %% [markdown]
# **An experiment.** The mean over many masks is the prediction, exactly so for a linear layer. How fast does it get
# there?

# %%
w, one = np.random.default_rng(5).standard_normal((1, 200)), x[:1]
exact = (one @ w.T).item()
for count in (10, 100, 1000):
    outputs = [(ops.dropout(one, rate=0.5, key=(0, 3, i)) @ w.T).item() for i in range(count)]
    print(count, round(abs(np.mean(outputs) - exact), 3), "expected about", round(np.std(outputs) / np.sqrt(count), 3))
