"""The two roofs of a machine, measured in the same rounds as what they stand above: copying and multiplying matrices.

No operation can be faster than its bytes at the rate of a plain copy, nor, with the arithmetic of its definition, than
its flops at the rate of a large matrix product. A convolution with fewer multiplications than its definition can.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.operation import Cost
from alexnet_np.parallel import share

SIDE = 2048  # of the matrices
SMALLEST, LARGEST = 8 << 20, 256 << 20  # bytes that a copy moves: as many as the operation does, within these
GEMM, COPY = "roof: GEMM", "roof: copy"


class Roofs(NamedTuple):
    """Flop/s of the matrix product and byte/s (read plus written) of the copy, one of each round."""

    gemm: list[float]
    copy: list[float]

    def seconds(self, cost: Cost) -> float:
        """The least time of a call: the slower of its arithmetic and its traffic."""
        return max(cost.flops / float(np.median(self.gemm)), cost.bytes / float(np.median(self.copy)))

    def limit(self, cost: Cost) -> str:
        """Which of the two decides: 'GEMM' or 'copy'."""
        by_gemm = cost.flops / float(np.median(self.gemm)) >= cost.bytes / float(np.median(self.copy))
        return "GEMM" if by_gemm else "copy"


def runs(
    cost: Cost, side: int | None = None
) -> tuple[dict[str, Callable[[], object]], Callable[[dict[str, list[float]]], Roofs]]:
    """The two calls to time in turns with an operation of this cost, and what makes rates of their seconds."""
    side = side or SIDE
    moved = min(max(cost.bytes, SMALLEST), LARGEST) // 8
    source, target = (memory[:moved] for memory in _copied())
    a, b, c = _matrices(side)

    def copy() -> None:
        share(moved, lambda low, high: np.copyto(target[low:high], source[low:high]))

    def rates(seconds: dict[str, list[float]]) -> Roofs:
        return Roofs([2.0 * side**3 / t for t in seconds[GEMM]], [8.0 * moved / t for t in seconds[COPY]])

    return {GEMM: lambda: np.matmul(a, b, out=c), COPY: copy}, rates


@cache
def _copied() -> tuple[Array, Array]:
    """float32, half of the bytes that a copy moves in each."""
    return np.ones(LARGEST // 8, np.float32), np.ones(LARGEST // 8, np.float32)


@cache
def _matrices(side: int) -> tuple[Array, Array, Array]:
    a, b = (np.random.default_rng(seed).standard_normal((side, side)).astype(np.float32) for seed in (0, 1))
    return a, b, np.empty_like(a)
