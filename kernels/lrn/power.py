"""scale^(−3/4), the paper's power, by square roots: a general power is many times slower.

From 1/√scale, which is an approximation and a step of Newton's. That makes NaN of infinity. It is the scale's own root,
not that of a power of it: this would be beyond float32 long before the scale is.
"""

from typing import Any

import numpy as np

from ..vector import Vectors

BETA = 0.75


def inverse_powers(v: Vectors, scale: Any) -> tuple[Any, Any]:
    """scale^(−3/4), and scale^(−1/2), whose square spares a division by scale."""
    builder = v.builder
    half = builder.fdiv(v.constant(1), v.sqrt(scale))
    half = builder.select(builder.fcmp_ordered("==", scale, v.constant(np.inf)), v.constant(0), half)
    return builder.fmul(half, v.sqrt(half)), half
