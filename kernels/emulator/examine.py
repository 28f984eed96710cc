"""A kernel run in several orders of its threads, with other poison in its shared memory: what is found, in words."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .launch import KernelFault, Library, seed

ORDERS = 4  # ascending, descending, two that are shuffled


class Findings(NamedTuple):
    """What a kernel did: `faults` in words (none: nothing was found), barriers passed, and its arrays afterwards."""

    faults: list[str]
    barriers: int
    arrays: list[Any]


def examine(
    library: Library, name: str, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared: int = 0
) -> Findings:
    """Run a kernel in ORDERS orders on copies of its arrays. Raises what `Library.launch` does, but for faults."""
    faults: list[str] = []
    results: list[list[Any]] = []
    barriers = 0
    for number in range(ORDERS):
        copies = [a.copy() if isinstance(a, np.ndarray) and a.ndim else a for a in args]
        for copy, given in zip(copies, args, strict=True):
            if isinstance(copy, np.ndarray) and isinstance(given, np.ndarray):
                copy.flags.writeable = given.flags.writeable
        try:
            with seed(number):
                barriers = library.launch(name, grid, block, copies, shared)
        except KernelFault as fault:
            if str(fault) not in faults:
                faults.append(str(fault))
        else:
            results.append(copies)
    for i, first in enumerate(results[0] if len(results) > 1 else []):
        if not isinstance(first, np.ndarray) or not first.ndim:
            continue
        differ = np.any([_bytes(first) != _bytes(other[i]) for other in results[1:]], axis=(0, 2))
        if at := np.flatnonzero(differ).tolist():
            faults.append(
                f"{name}: {len(at)} elements of argument {i}, the first is {at[0]}, depend on the order of the threads "
                "or on shared memory that nobody wrote: a barrier or a wait is missing"
            )
    return Findings(faults, barriers, results[-1] if results else list(args))


def _bytes(array: Any) -> Any:
    """The array's elements as rows of bytes: a NaN is the same as itself there."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(array.size, array.itemsize)
