"""Is this backward pass right?"""

from .check import Report, assert_gradients, gradcheck
from .directions import complex_dot, taylor_slope
from .named import check_named

__all__ = ["Report", "assert_gradients", "check_named", "complex_dot", "gradcheck", "taylor_slope"]
