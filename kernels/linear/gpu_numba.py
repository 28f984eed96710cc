"""The linear layer's products in Numba CUDA: numba_product.py has the rungs, conv2d/gpu_numba.py the larger example.

Forward    y (N, K)    left = x     right = wᵀ
Data       dx (N, C)   left = dy    right = w
Weights    dw (K, C)   left = dyᵀ   right = x
"""

from typing import Any

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import linear, linear_backward_data, linear_backward_weights

from ..numba_cuda import cuda, over
from ..numba_product import RUNGS, Problem, bias_gradient

SIZES = 3  # rows, columns and terms of the product


@cuda.jit(device=True)
def _extent(s):  # type: ignore[no-untyped-def]
    return s[0], s[1], s[2]


@cuda.jit(device=True)
def _rows(a, m, k, g, s):  # type: ignore[no-untyped-def]
    return a[m * s[2] + k]


@cuda.jit(device=True)
def _turned(a, m, k, g, s):  # type: ignore[no-untyped-def]
    return a[k * s[0] + m]


@cuda.jit(device=True)
def _right(b, k, n, g, s):  # type: ignore[no-untyped-def]
    return b[k * s[1] + n]


@cuda.jit(device=True)
def _right_turned(b, k, n, g, s):  # type: ignore[no-untyped-def]
    return b[n * s[2] + k]


@cuda.jit(device=True)
def _store(c, _, m, n, total, g, s):  # type: ignore[no-untyped-def]
    c[m * s[1] + n] = total


@cuda.jit(device=True)
def _store_biased(c, bias, m, n, total, g, s):  # type: ignore[no-untyped-def]
    c[m * s[1] + n] = total + bias[n]


FORWARD = Problem(_rows, _right_turned, _store_biased, _extent)
DATA = Problem(_rows, _right, _store, _extent)
WEIGHTS = Problem(_turned, _right, _store, _extent)


def _register(key: str, rung: Any) -> None:
    run_forward, run_data, run_weights = (rung(problem, SIZES) for problem in (FORWARD, DATA, WEIGHTS))

    @linear.kernel(f"gpu_numba/{key}")
    def forward(x: Array, w: Array, b: Array, *, out: Array) -> None:
        (N, C), K = x.shape, len(w)
        run_forward(x.reshape(-1), w.reshape(-1), b, out.reshape(-1), (N, K, C), 1, N, K, x.dtype)

    @linear_backward_data.kernel(f"gpu_numba/{key}")
    def backward_data(dy: Array, w: Array, *, out: Array) -> None:
        (N, K), C = dy.shape, w.shape[1]
        flat = dy.reshape(-1), w.reshape(-1)
        run_data(*flat, flat[0], out.reshape(-1), (N, C, K), 1, N, C, dy.dtype)

    @linear_backward_weights.kernel(f"gpu_numba/{key}")
    def backward_weights(dy: Array, x: Array, *, out: tuple[Array, Array]) -> None:
        (dw, db), (N, K), C = out, dy.shape, x.shape[1]
        flat = dy.reshape(-1), x.reshape(-1)
        run_weights(*flat, flat[0], dw.reshape(-1), (K, C, N), 1, K, C, dy.dtype)
        over(K, bias_gradient, dy.reshape(N, K, 1), db)


for _key, _rung in RUNGS.items():
    _register(_key, _rung)


@linear.choose("gpu_numba")
@linear_backward_data.choose("gpu_numba")
@linear_backward_weights.choose("gpu_numba")
def _(*_: Spec, **__: Any) -> str:
    return "gpu_numba/registers"
