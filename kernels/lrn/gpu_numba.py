"""Local response normalisation in Numba CUDA, element by element.

Math     s[c] = k + a · Σ_window x²;  y[c] = x[c] · s[c]^(−β)
         dx[c] = dy[c] · s[c]^(−β) − 2aβ · x[c] · Σ_window dy[j] · x[j] · s[j]^(−β−1)
Shapes   x, y, s, dy, dx (N, C, pixels); the window is cut at the ends of a group
Threads  as many as `over` makes, which take turns; neighbours are neighbouring pixels
Traffic  each array once from memory; `size` times from the caches
Change   against the definition: all elements at once
"""

from typing import Any

from alexnet_np.backend import Array
from alexnet_np.ops import lrn, lrn_backward

from ..numba_cuda import cuda, kernel, over

IMAGES = "float32[:, :, ::1]"


@cuda.jit(device=True)
def _window(c, channels, groups, size):  # type: ignore[no-untyped-def]
    """The channels first … last in the window of channel c."""
    width = channels // groups
    begin = c // width * width
    return max(c - size // 2, begin), min(c + size // 2 + 1, begin + width)


@kernel(IMAGES, IMAGES, IMAGES, "int64", "int64", "float32", "float32", "float32")
def _forward(x, y, scale, groups, size, k, a, beta):  # type: ignore[no-untyped-def]
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        pixel, c, n = i % x.shape[2], i // x.shape[2] % x.shape[1], i // x.shape[2] // x.shape[1]
        first, last = _window(c, x.shape[1], groups, size)
        total = x.dtype.type(0)
        for j in range(first, last):
            total += x[n, j, pixel] * x[n, j, pixel]
        s = k + a * total
        scale[n, c, pixel] = s
        y[n, c, pixel] = x[n, c, pixel] * s**-beta


@kernel(IMAGES, IMAGES, IMAGES, IMAGES, "int64", "int64", "float32", "float32")
def _backward(dy, x, scale, dx, groups, size, a, beta):  # type: ignore[no-untyped-def]
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        pixel, c, n = i % x.shape[2], i // x.shape[2] % x.shape[1], i // x.shape[2] // x.shape[1]
        first, last = _window(c, x.shape[1], groups, size)
        total, two = x.dtype.type(0), x.dtype.type(2)
        for j in range(first, last):
            s = scale[n, j, pixel]
            total += dy[n, j, pixel] * x[n, j, pixel] * s**-beta / s
        straight = dy[n, c, pixel] * scale[n, c, pixel] ** -beta
        dx[n, c, pixel] = straight - two * a * beta * x[n, c, pixel] * total


def _images(*arrays: Array) -> list[Array]:
    return [a.reshape(*a.shape[:2], -1) for a in arrays]


@lrn.kernel("gpu_numba")
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
    number, a = x.dtype.type, alpha / size if alpha_over_size else alpha
    over(x.size, _forward, *_images(x, *out), groups, size, number(k), number(a), number(beta))


@lrn_backward.kernel("gpu_numba")
def backward(
    dy: Array,
    x: Array,
    scale: Array,
    *,
    size: int,
    k: Any,
    alpha: float,
    beta: float,
    alpha_over_size: bool,
    groups: int,
    out: Array,
) -> None:
    number, a = x.dtype.type, alpha / size if alpha_over_size else alpha
    over(x.size, _backward, *_images(dy, x, scale, out), groups, size, number(a), number(beta))
