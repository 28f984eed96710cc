"""maxpool2d as R·S passes over strided slices: element (r, s) of all windows at a time.

Math     y = max over (r, s) of x̂[p·stride + r, q·stride + s]; dx gathers dy where the cached index points
Shapes   x (N, C, H, W); a slice is (N, C, P, Q), cut to the windows whose element (r, s) lies inside the plane
Threads  one
Traffic  2·R·S reads of x and as many updates of y and index, in chunks of images that fit the cache
Change   against the definition: all windows at once, in place of one window after another; the backward counts each
         plane position's gradients, as a weighted histogram of the indices
"""

from collections.abc import Iterator

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


@maxpool2d.kernel("cpu_numpy")
def forward(x: Array, *, size: Pair, stride: Pair, padding: Sides, out: tuple[Array, Array]) -> None:
    xp = array_module(x)
    (_, _, H, W), (_, _, P, Q) = x.shape, out[0].shape
    # Where element 0 of each window stands in the plane, and how far from there element number t does.
    corner = (xp.arange(P) * stride[0] - padding[0][0])[:, None] * W + xp.arange(Q) * stride[1] - padding[1][0]
    offset = (xp.arange(size[0])[:, None] * W + xp.arange(size[1])).reshape(-1)
    for images in chunks(len(x), images_at_a_time(x[0].nbytes, len(x))):
        y, taps = out[0][images], list(_taps((H, W), (P, Q), size, stride, padding))
        y[...] = -xp.inf
        for (p, rows), (q, columns) in taps:
            xp.maximum(y[:, :, p, q], x[images, :, rows, columns], out=y[:, :, p, q])  # a NaN wins and stays
        # Taps left when the winner was met: the largest number is that of the first. Bytes, since they vectorise.
        left = xp.zeros(y.shape, xp.min_scalar_type(len(taps)))
        for t, ((p, rows), (q, columns)) in enumerate(taps):
            seen, best = x[images, :, rows, columns], y[:, :, p, q]
            won = (seen == best) | (seen != seen)
            xp.maximum(left[:, :, p, q], won * left.dtype.type(len(taps) - t), out=left[:, :, p, q])
        xp.add(offset[len(taps) - left.astype(xp.int32)], corner, out=out[1][images], casting="same_kind")


@maxpool2d_backward.kernel("cpu_numpy")
def backward(
    dy: Array, index: Array, *, x_shape: tuple[int, ...], size: Pair, stride: Pair, padding: Sides, out: Array
) -> None:
    xp = array_module(dy)
    _, C, H, W = x_shape
    for images in chunks(len(out), images_at_a_time(out[0].nbytes, len(out))):
        dx = out[images]
        planes = xp.arange(len(dx) * C).reshape(len(dx), C, 1, 1) * (H * W)
        where = (planes + index[images]).reshape(-1)
        dx[...] = xp.bincount(where, dy[images].reshape(-1), dx.size).reshape(dx.shape)  # sums in float64
