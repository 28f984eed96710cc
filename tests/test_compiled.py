"""What a compiled kernel gives does not depend on whether this process compiled it, nor on what was loaded before."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

# Two steps of a small network, layer by layer and planned: kernels of every operation, some with functions in common.
STEPS = """
import hashlib
import numpy as np
import alexnet_np as anp
from alexnet_np.train import SGD, train_step

rng = np.random.default_rng(0)
layers, planned = (anp.alexnet("mini", 10, seed=1) for _ in range(2))
x = rng.standard_normal((8, *layers.input_shape)).astype(np.float32)
labels = rng.integers(0, 10, 8)
sgd, plan = SGD(layers), anp.Plan(planned, x.shape)
for _ in range(2):
    train_step(layers, sgd, x, labels, 0.01)
    plan.step(x, labels)
arrays = [*layers.state_dict().values(), *planned.state_dict().values()]
print(hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest())
"""


def test_compiled_now_or_before(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "ALEXNET_BACKEND": "cpu_numba"}
    first, second = (
        subprocess.run([sys.executable, "-c", STEPS], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert "compiling kernels" in first.stderr
    assert "compiling kernels" not in second.stderr
    assert first.stdout == second.stdout


def test_files_of_other_sources_are_not_read_on(tmp_path: Path) -> None:
    """They may name modules that have gone since."""
    relu = "import numpy as np; from alexnet_np import ops; print(ops.relu(np.float32([[-1, 2]])))"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "ALEXNET_BACKEND": "cpu_numba"}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", relu], env=environment, capture_output=True, text=True, check=True)

    first = run()
    files = list(tmp_path.rglob("*.kernel"))
    for file in files:
        file.write_bytes(pickle.dumps("other sources") + b"cnot_there\nnothing\n.")
    second, third = run(), run()
    assert files and first.stdout == second.stdout == third.stdout == "[[0. 2.]]\n"
    assert "compiling kernels" in second.stderr and "compiling kernels" not in third.stderr
