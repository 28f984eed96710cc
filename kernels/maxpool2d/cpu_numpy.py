"""maxpool2d as R·S passes over strided slices: element (r, s) of all windows at a time.

Math     y = max over (r, s) of x̂[p·stride + r, q·stride + s]; dx gathers dy where the cached index points
Shapes   x (N, C, H, W); a slice is (N, C, P, Q), cut to the windows whose element (r, s) lies inside the plane
Threads  one
Traffic  R·S reads of x and as many updates of y and index, in chunks of images that fit the cache
Change   against the definition: all windows at once, in place of one window after another
"""

from collections.abc import Iterator
from typing import Any

from alexnet_np.backend import Array, array_module
from alexnet_np.ops import maxpool2d, maxpool2d_backward
from alexnet_np.ops.windows import Pair, Sides

from ..chunks import chunks, images_at_a_time

# One axis of a tap: which windows have their element inside the plane, and where those elements are.
Reach = tuple[slice, slice]


def _reach(element: int, windows: int, stride: int, before: int, length: int) -> Reach:
    first = max(0, -(-(before - element) // stride))
    last = min(windows - 1, (length - 1 + before - element) // stride)
    start = first * stride - before + element
    stop = max(first, last + 1)
    return slice(first, stop), slice(start, start + (stop - first) * stride, stride)


def _taps(
    plane: tuple[int, ...], outputs: tuple[int, ...], size: Pair, stride: Pair, padding: Sides
) -> Iterator[tuple[Reach, Reach]]:
    for r in range(size[0]):
        rows = _reach(r, outputs[0], stride[0], padding[0][0], plane[0])
        for s in range(size[1]):
            yield rows, _reach(s, outputs[1], stride[1], padding[1][0], plane[1])


def _numbers(xp: Any, rows: slice, columns: slice, plane: tuple[int, ...]) -> Array:
    """The index within its plane of every element in the strided block."""
    numbers = xp.arange(plane[0] * plane[1], dtype=xp.int32).reshape(plane)
    return numbers[rows, columns]


@maxpool2d.kernel("cpu_numpy")
def forward(x: Array, *, size: Pair, stride: Pair, padding: Sides, out: tuple[Array, Array]) -> None:
    xp = array_module(x)
    step = images_at_a_time(x[0].nbytes, len(x))
    for images in chunks(len(x), step):
        y, index = out[0][images], out[1][images]
        index[...] = -1
        for (p, rows), (q, columns) in _taps(x.shape[2:], y.shape[2:], size, stride, padding):
            seen, best, where = x[images, :, rows, columns], y[:, :, p, q], index[:, :, p, q]
            # Not ≤ rather than >, so that a NaN wins; a NaN that has won stays; the first element always wins.
            wins = (~(seen <= best) & (best == best)) | (where < 0)
            xp.copyto(best, seen, where=wins)
            xp.copyto(where, _numbers(xp, rows, columns, x.shape[2:]), where=wins)


@maxpool2d_backward.kernel("cpu_numpy")
def backward(
    dy: Array, index: Array, *, x_shape: tuple[int, ...], size: Pair, stride: Pair, padding: Sides, out: Array
) -> None:
    xp = array_module(dy)
    step = images_at_a_time(out[0].nbytes, len(out))
    for images in chunks(len(out), step):
        dx = out[images]
        dx[...] = 0
        for (p, rows), (q, columns) in _taps(x_shape[2:], dy.shape[2:], size, stride, padding):
            won = index[images, :, p, q] == _numbers(xp, rows, columns, x_shape[2:])
            dx[:, :, rows, columns] += xp.where(won, dy[images, :, p, q], dy.dtype.type(0))
