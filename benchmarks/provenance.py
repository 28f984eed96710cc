"""How exactly terms sum to what was recorded, at full size: `python -m alexnet_np.benchmarks.provenance [VARIANT …]`.

The tests ask the same of small images. Here a step of the whole network in float64, on two images, is asked for random
elements of every kind of layer, and the worst difference is printed, as a share of the array's largest value.
"""

import sys
import time

import numpy as np

from alexnet_np.models import alexnet
from alexnet_np.study import provenance
from alexnet_np.study.formulas import FORMULAS

VARIANTS = ("paper", "caffenet", "torch", "keras", "mini")
ELEMENTS, BUDGET = 1000, 16 << 30


def worst(variant: str) -> dict[str, tuple[int, float, float]]:
    """By kind of layer: elements, the worst difference, and milliseconds for one."""
    model, random = alexnet(variant, dtype=np.float64), np.random.default_rng(0)
    x = 20 * random.standard_normal((2, *(model.input_shape or ())))
    with model.record(budget=BUDGET) as recording:
        recording.step(x, random.integers(0, 1000, 2))
    arrays: dict[str, list[tuple[str, str]]] = {}
    for name, layer in model.items():
        for what in FORMULAS[type(layer)]:
            if (name, what) in recording:
                arrays.setdefault(type(layer).__name__, []).append((name, what))
    found = {}
    for kind, of in arrays.items():
        difference, count, began = 0.0, 0, time.perf_counter()
        for name, what in of:
            array = recording[name, what]
            largest = float(np.abs(array).max()) or 1.0
            for _ in range(-(-ELEMENTS // len(of))):
                at = tuple(int(i) for i in random.integers(0, array.shape))
                explained = provenance(model, name, what, at)
                difference, count = max(difference, abs(explained.sum - explained.value) / largest), count + 1
        found[kind] = count, difference, 1e3 * (time.perf_counter() - began) / count
    return found


if __name__ == "__main__":
    for variant in sys.argv[1:] or VARIANTS:
        for kind, (count, difference, each) in worst(variant).items():
            print(f"{variant:10} {kind:10} {count:5,} elements, worst {difference:.1e}, {each:.2f} ms each", flush=True)
