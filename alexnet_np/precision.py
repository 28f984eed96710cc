"""The dtypes of numbers. float32 to train, float64 to check; bfloat16 to store, on the GPU.

bfloat16 has float32's exponent and 8 bits of mantissa. Where a call's arrays are bfloat16, what is summed or kept is
float32: the arrays in KEPT, and every sum inside a kernel. NumPy has the type from ml_dtypes, and knows only its name.
"""

from typing import Any

import numpy as np

FLOATS = "float32", "float64"
ALL = (*FLOATS, "bfloat16")

# Arrays, by the names that operations give them, which are float32 where the rest is bfloat16.
KEPT = frozenset({"b", "scale", "probs", "dw", "db", "loss"})


def bfloat16() -> Any:
    """The dtype of bfloat16 arrays. Raises ImportError where ml_dtypes is not installed."""
    from ml_dtypes import bfloat16

    return np.dtype(bfloat16)


def is_bfloat16(dtype: Any) -> bool:
    return bool(dtype.name == "bfloat16")


def is_float(dtype: Any) -> bool:
    """Whether these are real numbers: to NumPy's own `kind`, bfloat16 is nothing."""
    return dtype.kind == "f" or is_bfloat16(dtype)


def accumulator(dtype: Any) -> np.dtype[Any]:
    """The dtype in which numbers of this dtype are summed."""
    return np.dtype(np.float32) if is_bfloat16(dtype) else np.dtype(dtype)


def step(dtype: Any) -> float:
    """The distance from 1 to the next larger number."""
    return 2.0**-7 if is_bfloat16(dtype) else float(np.finfo(dtype).eps)


def dtype_of(name: str) -> Any:
    """The dtype of this name; see ALL."""
    return bfloat16() if name == "bfloat16" else np.dtype(name)
