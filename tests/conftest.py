"""Without a GPU, Numba's CUDA kernels run in its simulator: decided before anything imports Numba."""

import os
from importlib.util import find_spec


def _gpu() -> bool:
    if find_spec("cupy") is None:
        return False
    import cupy

    return bool(cupy.cuda.is_available())


if not _gpu():
    os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
