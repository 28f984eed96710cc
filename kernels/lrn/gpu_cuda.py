"""LRN in CUDA C++: gpu_cuda.cu walks with the window in registers, gpu_cuda_plain.cu takes any size."""

from typing import Any

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import lrn, lrn_backward
from alexnet_np.precision import ALL

from ..cuda.source import BLOCK, Source, blocks, number

SIZES = 3, 5  # of a window that registers hold
CHANNELS, PIXELS = 16, 128  # of a thread, of a block: as gpu_cuda.cu has them
SOURCE = Source(
    __file__, "gpu_cuda.cu", [f"{name}<{{T}}, {size}>" for name in ("lrn", "lrn_backward") for size in SIZES], ALL
)
PLAIN = Source(__file__, "gpu_cuda_plain.cu", ["lrn_plain<{T}>", "lrn_plain_backward<{T}>"], ALL)
Numbers = tuple[Any, ...]


def size_refusal(*_: Spec, size: int, **__: Any) -> str | None:
    return None if size in SIZES else f"it holds windows of {' or '.join(map(str, SIZES))} channels, not of {size}"


def _rung(*specs: Spec, size: int, **_: Any) -> str:
    return "gpu_cuda/window" if size in SIZES else "gpu_cuda/plain"


lrn.choose("gpu_cuda")(_rung)
lrn_backward.choose("gpu_cuda")(_rung)


def numbers(x: Array, size: int, alpha: float, beta: float, alpha_over_size: bool) -> Numbers:
    real = number(x.dtype)
    return real(alpha / size if alpha_over_size else alpha), real(beta)


def _extent(x: Array) -> tuple[int, int]:
    return x.shape[1], x.shape[2] * x.shape[3]


def grid(x: Array, groups: int) -> tuple[int, int, int]:
    C, pixels = _extent(x)
    return -(-pixels // PIXELS), groups * -(-C // groups // CHANNELS), x.shape[0]


@lrn.kernel("gpu_cuda/window", refuses=size_refusal, types=ALL)
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
    rule = number(x.dtype)(k), *numbers(x, size, alpha, beta, alpha_over_size)
    SOURCE.launch(f"lrn<{{T}}, {size}>", grid(x, groups), (PIXELS,), x, *out, *_extent(x), groups, *rule)


@lrn_backward.kernel("gpu_cuda/window", refuses=size_refusal, types=ALL)
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
    rule = numbers(x, size, alpha, beta, alpha_over_size)
    name = f"lrn_backward<{{T}}, {size}>"
    SOURCE.launch(name, grid(x, groups), (PIXELS,), dy, x, scale, out, *_extent(x), groups, *rule)


@lrn.kernel("gpu_cuda/plain", types=ALL)
def forward_plain(
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
    rule = number(x.dtype)(k), *numbers(x, size, alpha, beta, alpha_over_size)
    rest = np.int64(x.size), *_extent(x), groups, size
    PLAIN.launch("lrn_plain<{T}>", blocks(x.size), (BLOCK,), x, *out, *rest, *rule)


@lrn_backward.kernel("gpu_cuda/plain", types=ALL)
def backward_plain(
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
    rule = numbers(x, size, alpha, beta, alpha_over_size)
    rest = np.int64(x.size), *_extent(x), groups, size
    PLAIN.launch("lrn_plain_backward<{T}>", blocks(x.size), (BLOCK,), dy, x, scale, out, *rest, *rule)
