"""Without a GPU, Numba's CUDA kernels run in its simulator: decided before anything imports Numba."""

import os
import subprocess
from importlib.util import find_spec
from typing import Any

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


class _Popen(subprocess.Popen):  # type: ignore[type-arg]
    """What a child prints is read as PYTHONIOENCODING tells it to write."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        if options.get("text") and not options.get("encoding"):
            options |= {"encoding": os.environ["PYTHONIOENCODING"].partition(":")[0], "errors": "backslashreplace"}
        super().__init__(*arguments, **options)


if os.environ.get("PYTHONIOENCODING"):
    subprocess.Popen = _Popen  # type: ignore[misc]
