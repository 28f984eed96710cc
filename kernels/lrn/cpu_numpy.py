"""lrn as a sum of `size` shifted slices of the squares.

Math     scale = k + a · Σ_shift x²[c + shift];  y = x · scale^(−β);
         dx = dy · scale^(−β) − 2·a·β · x · Σ_shift (dy · x · scale^(−β−1))[c + shift]
Shapes   all (N, C, H, W); a group is a block of channels
Threads  one
Traffic  `size` passes over the squares, in chunks of images that fit the cache
Change   against the definition: whole slices, in place of a window per channel. A running sum along the channels
         would save passes and lose accuracy: it keeps the rounding of everything that has left the window
"""

from alexnet_np.backend import Array, array_module
from alexnet_np.ops import lrn, lrn_backward

from ..chunks import chunks, images_at_a_time


def _add_windows(total: Array, values: Array, size: int) -> None:
    """total[:, g, c] += Σ of values[:, g, j] over the window of c; arrays (N, G, C/G, H, W)."""
    width = values.shape[2]
    for shift in range(-(size // 2), size // 2 + 1):
        if abs(shift) < width:
            low, high = max(0, -shift), min(width, width - shift)
            total[:, :, low:high] += values[:, :, low + shift : high + shift]


def _inverse_power(scale: Array, beta: float) -> Array:
    """scale^(−β); the usual β = 0.75 by two square roots, which is many times faster than a general power."""
    if beta != 0.75:
        return scale**-beta
    sqrt = array_module(scale).sqrt
    root = sqrt(scale)
    root *= sqrt(root)
    return 1 / root


@lrn.kernel("cpu_numpy")
def forward(
    x: Array,
    *,
    size: int,
    k: float,
    alpha: float,
    beta: float,
    alpha_over_size: bool,
    groups: int,
    out: tuple[Array, Array],
) -> None:
    y, scale = out
    a = alpha / size if alpha_over_size else alpha
    grouped = (-1, groups, x.shape[1] // groups, *x.shape[2:])
    for images in chunks(len(x), images_at_a_time(x[0].nbytes, len(x))):
        seen, total = x[images], scale[images]
        total[...] = 0
        _add_windows(total.reshape(grouped), (seen * seen).reshape(grouped), size)
        total *= a
        total += k
        y[images] = seen * _inverse_power(total, beta)


@lrn_backward.kernel("cpu_numpy")
def backward(
    dy: Array,
    x: Array,
    scale: Array,
    *,
    size: int,
    k: float,
    alpha: float,
    beta: float,
    alpha_over_size: bool,
    groups: int,
    out: Array,
) -> None:
    a = alpha / size if alpha_over_size else alpha
    grouped = (-1, groups, x.shape[1] // groups, *x.shape[2:])
    for images in chunks(len(x), images_at_a_time(x[0].nbytes, len(x))):
        direct = dy[images] * _inverse_power(scale[images], beta)
        ratio = direct * x[images]
        ratio /= scale[images]
        total = out[images]
        total[...] = 0
        _add_windows(total.reshape(grouped), ratio.reshape(grouped), size)
        total *= x[images]
        total *= -2 * a * beta
        total += direct
