"""The ladder of convolutions in Numba CUDA: the three products of a convolution without columns (implicit GEMM).

    Forward    y, m = filter       left = w                  right = x̂ seen at (c, r, s) = k by output n = (image, p, q)
    Data       dx, m = channel     left = w                  right = dy that (h, w) = n goes to by (filter, r, s) = k
    Weights    dw, m = filter      left = dy, k = (image, p, q)   right = x̂ seen by output k at (c, r, s) = n

numba_product.py has the rungs; read gpu_numba/naive, then tiled, then registers, which is the default.
"""

from typing import Any

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.windows import Pair, Sides

from ..numba_cuda import cuda, over
from ..numba_product import RUNGS, Problem, bias_gradient

CHAIN = 4.0  # times the definition's error: the bias's gradient is summed in one chain
SIZES = 14  # C H W K R S P Q down across top left groups N, as in every `s` below


@cuda.jit(device=True)
def _seen(x, image, c, h, w, s):  # type: ignore[no-untyped-def]
    """x̂: an element of the padded images."""
    C, H, W = s[0], s[1], s[2]
    if h < 0 or h >= H or w < 0 or w >= W:
        return x.dtype.type(0)
    return x[((image * C + c) * H + h) * W + w]


@cuda.jit(device=True)
def _forward_extent(s):  # type: ignore[no-untyped-def]
    C, _, _, K, R, S, P, Q, _, _, _, _, groups, N = s
    return K // groups, N * P * Q, C // groups * R * S


@cuda.jit(device=True)
def _forward_left(w, m, k, g, s):  # type: ignore[no-untyped-def]
    C, _, _, K, R, S, _, _, _, _, _, _, groups, _ = s
    return w[(g * (K // groups) + m) * (C // groups * R * S) + k]


@cuda.jit(device=True)
def _forward_right(x, k, n, g, s):  # type: ignore[no-untyped-def]
    C, _, _, _, R, S, P, Q, down, across, top, left, groups, _ = s
    c, r, t = k // (R * S), k // S % R, k % S
    image, p, q = n // Q // P, n // Q % P, n % Q
    return _seen(x, image, g * (C // groups) + c, p * down + r - top, q * across + t - left, s)


@cuda.jit(device=True)
def _forward_store(y, b, m, n, total, g, s):  # type: ignore[no-untyped-def]
    _, _, _, K, _, _, P, Q, _, _, _, _, groups, _ = s
    k = g * (K // groups) + m
    y[(n // (P * Q) * K + k) * P * Q + n % (P * Q)] = total + b[k]


@cuda.jit(device=True)
def _data_extent(s):  # type: ignore[no-untyped-def]
    C, H, W, K, R, S, _, _, _, _, _, _, groups, N = s
    return C // groups, N * H * W, K // groups * R * S


@cuda.jit(device=True)
def _data_left(w, m, k, g, s):  # type: ignore[no-untyped-def]
    C, _, _, K, R, S, _, _, _, _, _, _, groups, _ = s
    return w[((g * (K // groups) + k // (R * S)) * (C // groups) + m) * R * S + k % (R * S)]


@cuda.jit(device=True)
def _data_right(dy, k, n, g, s):  # type: ignore[no-untyped-def]
    _, H, W, K, R, S, P, Q, down, across, top, left, groups, _ = s
    f, h, w = k // (R * S), n // W % H + top - k // S % R, n % W + left - k % S
    if h < 0 or w < 0 or h % down != 0 or w % across != 0 or h // down >= P or w // across >= Q:
        return dy.dtype.type(0)
    return dy[((n // W // H * K + g * (K // groups) + f) * P + h // down) * Q + w // across]


@cuda.jit(device=True)
def _data_store(dx, _, m, n, total, g, s):  # type: ignore[no-untyped-def]
    C, H, W, groups = s[0], s[1], s[2], s[12]
    dx[(n // (H * W) * C + g * (C // groups) + m) * H * W + n % (H * W)] = total


@cuda.jit(device=True)
def _weights_extent(s):  # type: ignore[no-untyped-def]
    C, _, _, K, R, S, P, Q, _, _, _, _, groups, N = s
    return K // groups, C // groups * R * S, N * P * Q


@cuda.jit(device=True)
def _weights_left(dy, m, k, g, s):  # type: ignore[no-untyped-def]
    _, _, _, K, _, _, P, Q, _, _, _, _, groups, _ = s
    return dy[(k // (P * Q) * K + g * (K // groups) + m) * P * Q + k % (P * Q)]


@cuda.jit(device=True)
def _weights_right(x, k, n, g, s):  # type: ignore[no-untyped-def]
    return _forward_right(
        x, n, k, g, s
    )  # the same element: which of its two numbers is summed over is all that differs


@cuda.jit(device=True)
def _weights_store(dw, _, m, n, total, g, s):  # type: ignore[no-untyped-def]
    C, _, _, K, R, S, _, _, _, _, _, _, groups, _ = s
    dw[(g * (K // groups) + m) * (C // groups * R * S) + n] = total


FORWARD = Problem(_forward_left, _forward_right, _forward_store, _forward_extent)
DATA = Problem(_data_left, _data_right, _data_store, _data_extent)
WEIGHTS = Problem(_weights_left, _weights_right, _weights_store, _weights_extent)


def _sizes(
    x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], stride: Pair, padding: Sides, groups: int
) -> tuple[int, ...]:
    return (*x[1:], w[0], *w[2:], *y[2:], *stride, padding[0][0], padding[1][0], groups, x[0])


def _register(key: str, rung: Any) -> None:
    run_forward, run_data, run_weights = (rung(problem, SIZES) for problem in (FORWARD, DATA, WEIGHTS))

    @conv2d.kernel(f"gpu_numba/{key}")
    def forward(x: Array, w: Array, b: Array, *, stride: Pair, padding: Sides, groups: int, out: Array) -> None:
        s, (N, K, P, Q) = _sizes(x.shape, w.shape, out.shape, stride, padding, groups), out.shape
        arrays = w.reshape(-1), x.reshape(-1), b, out.reshape(-1)
        run_forward(*arrays, s, groups, K // groups, N * P * Q, x.dtype)

    @conv2d_backward_data.kernel(f"gpu_numba/{key}")
    def backward_data(
        dy: Array, w: Array, *, x_shape: tuple[int, ...], stride: Pair, padding: Sides, groups: int, out: Array
    ) -> None:
        s, (N, C, H, W) = _sizes(x_shape, w.shape, dy.shape, stride, padding, groups), x_shape
        flat = w.reshape(-1), dy.reshape(-1)
        run_data(*flat, flat[0], out.reshape(-1), s, groups, C // groups, N * H * W, dy.dtype)

    @conv2d_backward_weights.kernel(f"gpu_numba/{key}", error=CHAIN)
    def backward_weights(
        dy: Array,
        x: Array,
        *,
        w_shape: tuple[int, ...],
        stride: Pair,
        padding: Sides,
        groups: int,
        out: tuple[Array, Array],
    ) -> None:
        (dw, db), s = out, _sizes(x.shape, w_shape, dy.shape, stride, padding, groups)
        flat, K = (dy.reshape(-1), x.reshape(-1)), w_shape[0]
        run_weights(*flat, flat[0], dw.reshape(-1), s, groups, K // groups, dw[0].size, dy.dtype)
        over(K, bias_gradient, dy.reshape(*dy.shape[:2], -1), db)


for _key, _rung in RUNGS.items():
    _register(_key, _rung)


@conv2d.choose("gpu_numba")
@conv2d_backward_data.choose("gpu_numba")
@conv2d_backward_weights.choose("gpu_numba")
def _(*_: Spec, **__: Any) -> str:
    return "gpu_numba/registers"
