"""What dispatch costs over the kernel: `python -m alexnet_np.benchmarks.overhead`.

Each operation is called through dispatch, and its kernel's body directly, with the body replaced by nothing, in turns;
the difference of the medians is the overhead. Outputs and workspace are allocated as in any plain call.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from alexnet_np.dispatch import Op, load_kernels, use
from alexnet_np.ops.cases import cases

CALLS, ROUNDS = 300, 31
KEY = "cpu_numpy"


def _nothing(*arrays: Any, **keywords: Any) -> None:
    pass


def _microseconds(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        function()
    return (time.perf_counter() - began) / CALLS * 1e6


def overhead(op: Op) -> float:
    """Median microseconds of a dispatched call beyond those of its kernel, on the operation's first case."""
    case = cases(op, np.float32)[0]
    kernel = op.kernels[KEY]
    op.kernels[KEY] = replace(kernel, body=_nothing)
    op.changed()
    try:
        with use(KEY):
            through = []
            for _ in range(ROUNDS):
                call = _microseconds(lambda: op(*case.arrays, **case.keywords))
                body = _microseconds(lambda: _nothing(*case.arrays, **case.keywords, out=None))
                through.append(call - body)
    finally:
        op.kernels[KEY] = kernel
        op.changed()
    return float(np.median(through))


def lines() -> Iterator[str]:
    """What each operation's overhead is."""
    for op in load_kernels().values():
        yield f"{op.name:36} " + (f"{overhead(op):5.1f} µs" if KEY in op.kernels else f"has no kernel of {KEY}")


if __name__ == "__main__":
    for line in lines():
        print(line)
