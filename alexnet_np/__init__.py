"""AlexNet from scratch, in NumPy and CuPy, with every kernel written by hand."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from . import layers, ops, study
from .backend import BACKENDS
from .dispatch import NoKernel, load_kernels, trace, use
from .gradient_check import assert_gradients, gradcheck
from .models import VARIANTS, alexnet
from .network import Sequential
from .ops import col2im, im2col
from .parallel import set_threads, threads
from .plan import Plan
from .version import __version__

if TYPE_CHECKING:
    from . import train

__all__ = [
    "BACKENDS",
    "VARIANTS",
    "NoKernel",
    "Plan",
    "Sequential",
    "__version__",
    "alexnet",
    "assert_gradients",
    "col2im",
    "gradcheck",
    "im2col",
    "layers",
    "load_kernels",
    "ops",
    "set_threads",
    "study",
    "threads",
    "trace",
    "train",
    "use",
]


def __getattr__(name: str) -> ModuleType:
    """`train`, which needs libraries that nothing else here does, is imported when it is first used."""
    if name == "train":
        return import_module(".train", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
