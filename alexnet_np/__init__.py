"""AlexNet from scratch, in NumPy and CuPy, with every kernel written by hand."""

from . import layers, ops, study
from .backend import BACKENDS
from .dispatch import NoKernel, load_kernels, trace, use
from .gradient_check import assert_gradients, gradcheck
from .models import VARIANTS, alexnet
from .network import Sequential
from .ops import col2im, im2col
from .parallel import set_threads, threads
from .plan import Plan

__all__ = [
    "BACKENDS",
    "VARIANTS",
    "NoKernel",
    "Plan",
    "Sequential",
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
    "use",
]
