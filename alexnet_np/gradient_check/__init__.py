"""Is this backward pass right?"""

from .check import Report, gradcheck

__all__ = ["Report", "gradcheck"]
