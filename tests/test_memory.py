"""How much memory a training step of the paper's network takes, at its own batch of 128."""

import subprocess
import sys

LIMIT = 3.5e9  # bytes

STEP = """
import resource
import numpy as np
import alexnet_np as anp
from alexnet_np.train import SGD, train_step

model = anp.alexnet("paper")
sgd = SGD(model)
random = np.random.default_rng(0)
x = random.standard_normal((128, 3, 224, 224), np.float32)
labels = random.integers(0, 1000, 128)
for _ in range(2):
    train_step(model, sgd, x, labels, 0.01)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_training_step_of_paper_at_batch_128() -> None:
    done = subprocess.run([sys.executable, "-c", STEP], check=True, capture_output=True, text=True)
    peak = int(done.stdout)
    print(f"peak {peak / 1e9:.2f} GB")
    assert peak < LIMIT
