"""How often the gradient checker accuses right code: `python -m alexnet_np.benchmarks.false_alarms [SEEDS]`.

Every operation with a backward, on every case of its own, in float64 and float32, for each seed; the cases hold tied
pooling windows and exact zeros.
"""

import sys

import numpy as np

from alexnet_np import gradcheck, load_kernels
from alexnet_np.gradient_check.named import has_derivative
from alexnet_np.ops.cases import cases

ELEMENTS = 12  # of each array


def count(seeds: int) -> tuple[int, list[str]]:
    """How many checks were made, and the reports of those that failed."""
    made, failed = 0, []
    for seed in range(seeds):
        for dtype in (np.float64, np.float32):
            for op in (op for op in load_kernels().values() if op.backward):
                for case in filter(has_derivative, cases(op, dtype, seed)):
                    report = gradcheck(op, *case.arrays, seed=seed, elements=ELEMENTS, **case.keywords)
                    made += 1
                    if not report.ok:
                        failed.append(f"{case.name}, {np.dtype(dtype)}, seed {seed}\n{report.text()}")
    return made, failed


if __name__ == "__main__":
    made, failed = count(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
    print("\n".join([*failed, f"{made:,} checks of right code, {len(failed)} false alarms"]))
