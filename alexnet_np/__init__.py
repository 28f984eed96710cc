"""AlexNet from scratch, in NumPy and CuPy, with every kernel written by hand."""

from . import ops
from .backend import BACKENDS
from .dispatch import NoKernel, load_kernels, trace, use
from .ops import col2im, im2col

__all__ = ["BACKENDS", "NoKernel", "col2im", "im2col", "load_kernels", "ops", "trace", "use"]
