"""Without a GPU, Numba's CUDA kernels run in its simulator: decided before anything imports Numba."""

import os
from importlib.util import find_spec

import numpy as np


def _gpu() -> bool:
    if find_spec("cupy") is None:
        return False
    import cupy

    return bool(cupy.cuda.is_available())


if not _gpu():
    os.environ["NUMBA_ENABLE_CUDASIM"] = "1"

# As on Apple silicon and on Windows, where no float is wider than float64.
if os.environ.get("ALEXNET_TESTS_LONGDOUBLE") == "float64":
    np.longdouble = np.float64  # type: ignore[misc]
