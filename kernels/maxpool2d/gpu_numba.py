"""Max-pooling in Numba CUDA: output by output, and element of dx by element.

Math     y = max over the window, index = h·W + w of the first such element, a NaN above all;
         dx[h,w] = Σ dy over the windows that hold (h, w) and whose index is h·W + w
Shapes   x (N·C, H, W), y and index (N·C, P, Q), index int32
Threads  as many as `over` makes, which take turns; neighbours in a warp are neighbours in a row
Traffic  the least from memory: what overlapping windows read again comes from the caches
Change   against scattering dy: no atomics, so the sum is the same each time
"""

from alexnet_np.backend import Array
from alexnet_np.ops import maxpool2d, maxpool2d_backward
from alexnet_np.ops.windows import Pair, Sides

from ..numba_cuda import cuda, kernel, over

PAIR = "UniTuple(int64, 2)"


@kernel("float32[:, :, ::1]", "float32[:, :, ::1]", "int32[:, :, ::1]", PAIR, PAIR, PAIR)
def _forward(x, y, index, size, stride, before):  # type: ignore[no-untyped-def]
    for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        q, p, plane = i % y.shape[2], i // y.shape[2] % y.shape[1], i // y.shape[2] // y.shape[1]
        h0, w0 = p * stride[0] - before[0], q * stride[1] - before[1]
        h1, w1 = min(h0 + size[0], x.shape[1]), min(w0 + size[1], x.shape[2])
        h0, w0 = max(h0, 0), max(w0, 0)
        largest, best = x[plane, h0, w0], h0 * x.shape[2] + w0
        for h in range(h0, h1):
            for w in range(w0, w1):
                value = x[plane, h, w]
                if value > largest or (value != value and largest == largest):
                    largest, best = value, h * x.shape[2] + w
        y[plane, p, q] = largest
        index[plane, p, q] = best


@kernel("float32[:, :, ::1]", "int32[:, :, ::1]", "float32[:, :, ::1]", PAIR, PAIR, PAIR)
def _backward(dy, index, dx, size, stride, before):  # type: ignore[no-untyped-def]
    for i in range(cuda.grid(1), dx.size, cuda.gridsize(1)):
        w, h, plane = i % dx.shape[2], i // dx.shape[2] % dx.shape[1], i // dx.shape[2] // dx.shape[1]
        here, total = h * dx.shape[2] + w, dx.dtype.type(0)
        p1 = min((h + before[0]) // stride[0], dy.shape[1] - 1)
        q1 = min((w + before[1]) // stride[1], dy.shape[2] - 1)
        for p in range(max(h + before[0] - size[0] + stride[0], 0) // stride[0], p1 + 1):
            for q in range(max(w + before[1] - size[1] + stride[1], 0) // stride[1], q1 + 1):
                if index[plane, p, q] == here:
                    total += dy[plane, p, q]
        dx[plane, h, w] = total


def _planes(*arrays: Array) -> list[Array]:
    return [a.reshape(-1, *a.shape[2:]) for a in arrays]


@maxpool2d.kernel("gpu_numba")
def forward(x: Array, *, size: Pair, stride: Pair, padding: Sides, out: tuple[Array, Array]) -> None:
    before = padding[0][0], padding[1][0]
    over(out[0].size, _forward, *_planes(x, *out), size, stride, before)


@maxpool2d_backward.kernel("gpu_numba")
def backward(
    dy: Array, index: Array, *, x_shape: tuple[int, ...], size: Pair, stride: Pair, padding: Sides, out: Array
) -> None:
    before = padding[0][0], padding[1][0]
    over(out.size, _backward, *_planes(dy, index, out), size, stride, before)
