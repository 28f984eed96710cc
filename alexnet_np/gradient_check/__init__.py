"""Is this backward pass right?"""

from .check import assert_gradients, gradcheck
from .directions import complex_dot, taylor_slope
from .named import How, check_named
from .report import Report

__all__ = ["How", "Report", "assert_gradients", "check_named", "complex_dot", "gradcheck", "taylor_slope"]
