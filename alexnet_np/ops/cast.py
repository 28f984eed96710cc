"""Cast: the same numbers in another dtype, each rounded to the nearest, ties to even.

What stands between float32 weights or images and kernels that compute in bfloat16.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from ..backend import Array
from ..dispatch import op
from ..operation import Spec
from ..precision import ALL, dtype_of
from . import checks


@op(returns=("y",))
def cast(x: Array, *, dtype: str) -> Array:
    """The elements of x, of any shape, in the dtype called 'float32', 'float64' or 'bfloat16'.

    Raises ValueError for another name, TypeError for an x that is not of these dtypes.
    """
    return x.astype(np.float64).astype(dtype_of(dtype))  # which holds them all exactly


@cast.define_infer
def _(x: Spec, *, dtype: Any) -> tuple[Spec, ...]:
    checks.floats(x=x)
    if dtype not in ALL:
        raise ValueError(f"dtype must be one of {', '.join(ALL)}, got {dtype!r}")
    return (Spec(x.shape, dtype_of(dtype), x.device),)


@cast.define_flops
def _(x: Spec, **_: Any) -> int:
    return prod(x.shape)


@cast.define_cases
def _(draw: Any) -> Iterator[tuple[str, dict[str, Array], dict[str, Any]]]:
    strange = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 3e38], draw.dtype)
    yield "to float32", {"x": draw(3, 7)}, {"dtype": "float32"}
    yield "to bfloat16", {"x": draw(5, 7, 3)}, {"dtype": "bfloat16"}
    yield "ties, infinite and NaN", {"x": strange}, {"dtype": "bfloat16"}
