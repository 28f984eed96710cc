"""Is this backward pass right?"""

from .check import Report, assert_gradients, gradcheck
from .named import check_named

__all__ = ["Report", "assert_gradients", "check_named", "gradcheck"]
