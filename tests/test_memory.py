"""How much memory a training step of the paper's network takes, at its own batch of 128."""

import subprocess
import sys
from pathlib import Path

import pytest

LIMIT = 3.5e9  # bytes

STEP = """
import numpy as np
import alexnet_np as anp
from alexnet_np.benchmarks.memory import peak
from alexnet_np.train import SGD, train_step

model = anp.alexnet("paper")
sgd = SGD(model)
random = np.random.default_rng(0)
x = random.standard_normal((128, 3, 224, 224), np.float32)
labels = random.integers(0, 1000, 128)
for _ in range(2):
    train_step(model, sgd, x, labels, 0.01)
print(peak())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process's own peak is read from /proc")
def test_training_step_of_paper_at_batch_128() -> None:
    done = subprocess.run([sys.executable, "-c", STEP], check=True, capture_output=True, text=True)
    peak = int(done.stdout)
    print(f"peak {peak / 1e9:.2f} GB")
    assert peak < LIMIT


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process's own peak is read from /proc")
def test_a_peak_is_the_process_s_own() -> None:
    """A child inherits its parent's ru_maxrss; what is measured must not depend on what ran before."""
    child = "from alexnet_np.benchmarks.memory import peak; print(peak())"
    parent = f"""
import subprocess, sys
import numpy as np
print(np.ones(1 << 27).nbytes)
print(subprocess.run([sys.executable, "-c", {child!r}], check=True, capture_output=True, text=True).stdout)
"""
    done = subprocess.run([sys.executable, "-c", parent], check=True, capture_output=True, text=True)
    held, peak = map(int, done.stdout.split())
    assert peak < held
