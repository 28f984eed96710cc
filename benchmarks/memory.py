"""Peak memory of a planned training step: `python -m alexnet_np.benchmarks.memory VARIANT BATCH` prints it as JSON.

In a process of its own, since a process's peak never falls. Code that is loaded and compiled on the way is no memory of
the network: a plan for a batch of two runs and is dropped before the count begins.
"""

import ctypes
import gc
import json
import sys
from pathlib import Path

import alexnet_np as anp
from alexnet_np.backend import Array

from .network_rows import LEARNING_RATE, images

STEPS = 3


def resident() -> int:
    """Bytes of memory that the process holds now. Raises OSError where there is no /proc."""
    return _status("VmRSS")


def peak() -> int:
    """The most that it ever held, in bytes. getrusage's ru_maxrss will not do: a process begins with its parent's."""
    return _status("VmHWM")


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) * 1024


def give_back() -> None:
    """Return what was freed to the system, so that it is not taken again unseen. Only glibc has to be told."""
    gc.collect()
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):  # the system does not show a process's own functions, and has another C library
        return
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def steps(variant: str, x: Array, labels: Array, count: int) -> int:
    """Take steps on a new network; returns what its plan predicts, in bytes."""
    plan = anp.Plan(anp.alexnet(variant), x.shape)
    for _ in range(count):
        plan.step(x, labels, lr=LEARNING_RATE)
    return int(plan.memory)


def measure(variant: str, batch: int) -> dict[str, int]:
    """Predicted and measured bytes of weights, momentum and all that a plan needs; the images are the caller's.

    Raises ValueError where the batch needs no more than one of two, so that its own peak cannot be told.
    """
    x, labels = images(variant, batch)
    steps(variant, x[:2], labels[:2], 1)
    give_back()
    before, warm = resident(), peak()
    predicted = steps(variant, x, labels, STEPS)
    if peak() <= warm:
        raise ValueError(f"a batch of {batch} needs no more than was needed before it")
    return {"measured": peak() - before, "predicted": predicted}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
