"""How near every kernel comes to its bound: each kernel × case × dtype over many draws of the cases.

    python -m alexnet_np.benchmarks.conformance_study [--seeds 50] [--backends cpu_numpy cpu_numba]

Prints the largest share of the bound for each kernel, with its case, dtype and seed, the nearest last; exits with 1
where one is above it.
"""

import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tyro

from alexnet_np import load_kernels
from alexnet_np.conformance import Nonconforming, accepted, check_kernel, runnable
from alexnet_np.dispatch import Op
from alexnet_np.ops.cases import cases


@dataclass(frozen=True)
class Study:
    """Every kernel over many draws of its operation's cases."""

    seeds: int = 50
    backends: tuple[str, ...] = ("cpu_numpy", "cpu_numba")


class Nearest(NamedTuple):
    """The largest share of its bound that a kernel's error had."""

    share: float
    kernel: str
    where: str


def largest_shares(seeds: int, backends: tuple[str, ...]) -> list[Nearest]:
    """One for each kernel, the least first; a share above 1 is infinite, and `where` says what was wrong."""
    found: dict[str, Nearest] = {}
    for op in load_kernels().values():
        for seed in range(seeds):
            for dtype in (np.float32, np.float64):
                drawn = cases(op, dtype, seed)
                for key in runnable(op, *backends):
                    nearest = _shares(op, key, drawn, f"{np.dtype(dtype)}, seed {seed}")
                    found[nearest.kernel] = max(nearest, found.get(nearest.kernel, nearest))
        print(f"{op.name} …", file=sys.stderr, flush=True)
    return sorted(found.values())


def _shares(op: Op, key: str, drawn: Any, which: str) -> Nearest:
    kernel = f"{op.name} {key}"
    nearest = Nearest(-1.0, kernel, which)
    for case in accepted(op, key, drawn):
        try:
            for output, share in check_kernel(op, key, case).items():
                nearest = max(nearest, Nearest(share, kernel, f"{output}, case {case.name!r}, {which}"))
        except Nonconforming as error:
            nearest = max(nearest, Nearest(np.inf, kernel, f"{error}, {which}"))
    return nearest


if __name__ == "__main__":
    study = tyro.cli(Study)
    shares = largest_shares(study.seeds, study.backends)
    for share, kernel, where in shares:
        print(f"{share:8.3f}  {kernel}: {where}")
    sys.exit(shares[-1].share > 1)
