"""ReLU, LRN and max-pooling in CUDA C++: gpu_cuda.cu says how."""

from typing import Any

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import relu_lrn_maxpool2d, relu_lrn_maxpool2d_backward
from alexnet_np.ops.windows import Pair, Sides, output_size
from alexnet_np.precision import ALL

from ..cuda.source import Source, number
from ..lrn.gpu_cuda import SIZES, grid, numbers, size_refusal
from ..maxpool2d.gpu_cuda import windows

# A power by two square roots, a product and a quotient rounds four times, where the definition may round once.
ROOTS = 4.0
THREADS, PIXELS = 128, 512  # of a block, of a band: as gpu_cuda.cu has them
NAMES = "relu_lrn_maxpool2d", "relu_lrn_maxpool2d_backward"
SOURCE = Source(__file__, "gpu_cuda.cu", [f"{name}<{{T}}, {size}>" for name in NAMES for size in SIZES], ALL)


def _band(plane: Pair, P: int, size: Pair, stride: Pair, padding: Sides) -> int:
    """The most rows of y whose rows of x a block takes, with those that only it owns; 0 where not even one fits."""
    H, W = plane

    def first_row(p: int) -> int:
        return 0 if p <= 0 else H if p >= P else min(max(p * stride[0] - padding[0][0], 0), H)

    def fits(band: int) -> bool:
        for p0 in range(0, P, band):
            p1 = min(p0 + band, P)
            last = max(min((p1 - 1) * stride[0] - padding[0][0] + size[0], H), first_row(p1))
            if (last - first_row(p0)) * W > PIXELS:
                return False
        return True

    return next((band for band in range(P, 0, -1) if fits(band)), 0)


def _refuses(x: Spec, *, size: int, pool_size: Pair, pool_stride: Pair, pool_padding: Sides, **_: Any) -> str | None:
    plane = x.shape[2], x.shape[3]
    P = output_size(plane, pool_size, pool_stride, pool_padding)[0]
    if not _band(plane, P, pool_size, pool_stride, pool_padding):
        return f"the rows of one row of windows have more than {PIXELS} pixels"
    return size_refusal(size=size)


@relu_lrn_maxpool2d.kernel("gpu_cuda", refuses=_refuses, types=ALL)
def forward(
    x: Array,
    *,
    pool_size: Pair,
    pool_stride: Pair,
    pool_padding: Sides,
    size: int,
    k: float,
    alpha: float,
    beta: float,
    alpha_over_size: bool,
    groups: int,
    out: tuple[Array, Array, Array],
) -> None:
    of = windows(x.shape, out[0].shape, pool_size, pool_stride, pool_padding)
    band = _band(x.shape[2:], out[0].shape[2], pool_size, pool_stride, pool_padding)
    bands = -(-out[0].shape[2] // band), *grid(x, groups)[1:]
    rule = number(x.dtype)(k), *numbers(x, size, alpha, beta, alpha_over_size)
    SOURCE.launch(f"relu_lrn_maxpool2d<{{T}}, {size}>", bands, (THREADS,), x, *out, x.shape[1], groups, of, band, *rule)


@relu_lrn_maxpool2d_backward.kernel("gpu_cuda", refuses=size_refusal, types=ALL, error=ROOTS)
def backward(
    dy: Array,
    x: Array,
    scale: Array,
    index: Array,
    *,
    pool_size: Pair,
    pool_stride: Pair,
    pool_padding: Sides,
    size: int,
    k: float,
    alpha: float,
    beta: float,
    alpha_over_size: bool,
    groups: int,
    out: Array,
) -> None:
    of = windows(x.shape, dy.shape, pool_size, pool_stride, pool_padding)
    rule, name = numbers(x, size, alpha, beta, alpha_over_size), f"relu_lrn_maxpool2d_backward<{{T}}, {size}>"
    SOURCE.launch(name, grid(x, groups), (THREADS,), dy, x, scale, index, out, x.shape[1], groups, of, *rule)
