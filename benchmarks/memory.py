"""Peak memory of a planned training step: `python -m alexnet_np.benchmarks.memory VARIANT BATCH` prints it as JSON.

In a process of its own, since a process's peak never falls. Code that is loaded and compiled on the way is no memory of
the network: a plan for a batch of two runs and is dropped before the count begins.
"""

import gc
import json
import resource
import sys
from pathlib import Path

import alexnet_np as anp

from .network_rows import LEARNING_RATE, images

STEPS = 3


def resident() -> int:
    """Bytes of memory that the process holds now. Raises OSError where there is no /proc."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    """The most that it ever held, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def steps(variant: str, batch: int, count: int) -> int:
    """Take steps on a new network; returns what its plan predicts, in bytes."""
    x, labels = images(variant, batch)
    plan = anp.Plan(anp.alexnet(variant), x.shape)
    for _ in range(count):
        plan.step(x, labels, lr=LEARNING_RATE)
    return int(plan.memory)


def measure(variant: str, batch: int) -> dict[str, int]:
    """Predicted and measured bytes, without the images, which are the caller's."""
    steps(variant, 2, 1)
    gc.collect()
    x, _ = images(variant, batch)
    before, warm = resident(), peak()
    bytes_of_images = x.nbytes
    del x
    predicted = steps(variant, batch, STEPS)
    if peak() <= warm:
        raise SystemExit(f"a batch of {batch} needs no more than one of 2, so its peak cannot be told")
    return {"measured": peak() - before, "predicted": predicted, "images": bytes_of_images}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
