"""im2col and col2im: convolution as a matrix product, as functions to play with.

    columns[n, (c,r,s), (p,q)] = x̂[n, c, p·stride + r, q·stride + s]

Column (p, q) of an image holds the window of output (p, q), so that w.reshape(K, C·R·S) @ columns[n] is the
convolution of image n. col2im is the transposed map: it adds every column back to where it was taken from.
"""

from typing import Any

from ..backend import Array, array_module
from . import checks
from .windows import Pair, Sides, output_size, pad, pair, sides, tap, unpad


def im2col(x: Array, size: Any, stride: Any = 1, padding: Any = 0) -> Array:
    """The windows of x (N, C, H, W) as columns (N, C·R·S, P·Q).

    size, stride: int or pair; padding: int, pair or ((top, bottom), (left, right)). Raises ValueError where they do
    not fit.
    """
    size, stride, padding = pair("size", size), pair("stride", stride), sides("padding", padding)
    if len(x.shape) != 4:
        raise ValueError(f"x has shape {x.shape}, expected (N, C, H, W)")
    P, Q = output_size(x.shape[2:], size, stride, padding)
    N, C = x.shape[:2]
    columns = array_module(x).empty((N, C, *size, P, Q), x.dtype)
    gather(x, padding, stride, columns)
    return columns.reshape(N, C * size[0] * size[1], P * Q)


def col2im(columns: Array, x_shape: tuple[int, ...], size: Any, stride: Any = 1, padding: Any = 0) -> Array:
    """Sum columns (N, C·R·S, P·Q) into images of `x_shape` (N, C, H, W), the transpose of im2col.

    Raises ValueError where the shapes do not fit.
    """
    size, stride, padding = pair("size", size), pair("stride", stride), sides("padding", padding)
    N, C, H, W = checks.four_sides("x_shape", tuple(x_shape))
    P, Q = output_size((H, W), size, stride, padding)
    if columns.shape != (N, C * size[0] * size[1], P * Q):
        raise ValueError(f"columns has shape {columns.shape}, expected {(N, C * size[0] * size[1], P * Q)}")
    return scatter(columns.reshape(N, C, *size, P, Q), (N, C, H, W), padding, stride)


def gather(x: Array, padding: Sides, stride: Pair, columns: Array) -> None:
    """Write the windows of x into `columns`, seen as (N, C, R, S, P, Q) whatever its layout in memory."""
    padded = pad(x, padding) if any(map(any, padding)) else x
    for r in range(columns.shape[2]):
        for s in range(columns.shape[3]):
            columns[:, :, r, s] = tap(padded, r, s, columns.shape[4:], stride)


def scatter(columns: Array, x_shape: tuple[int, ...], padding: Sides, stride: Pair) -> Array:
    """Sum `columns`, seen as (N, C, R, S, P, Q), into new images (N, C, H, W): the transpose of gather."""
    N, C, H, W = x_shape
    (top, bottom), (left, right) = padding
    x = array_module(columns).zeros((N, C, top + H + bottom, left + W + right), columns.dtype)
    for r in range(columns.shape[2]):
        for s in range(columns.shape[3]):
            tap(x, r, s, columns.shape[4:], stride)[...] += columns[:, :, r, s]
    return array_module(x).ascontiguousarray(unpad(x, padding))
