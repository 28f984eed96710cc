"""The rung gpu_cuda/space_to_depth: gpu_cuda_space_to_depth.cu says how; the product is that of the best plain rung."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.precision import ALL, accumulator, is_bfloat16

from ..cuda.product import CHAIN, Rung
from ..cuda.source import BLOCK, Source, blocks, structure
from .cuda_products import RUNGS, Shape, bias_gradient, data_shape, forward_shape, run, weights_shape

SOURCE = Source(__file__, "gpu_cuda_space_to_depth.cu", ["to_blocks<{T}>", "from_blocks<{T}>"], ALL)
ALIGN = 256  # bytes: where a part of the workspace begins
Part = tuple[tuple[int, ...], Any]  # shape and dtype


def _rung(dtype: Any) -> Rung:
    return RUNGS["bf16" if is_bfloat16(dtype) else "buffered"]


def _blocked(shape: Shape) -> Shape:
    """The convolution of blocks, with stride 1 and without padding."""
    (N, C, _, _), (K, c, R, S), (down, across) = shape.x, shape.w, shape.stride
    rows, columns = -(-R // down), -(-S // across)
    x = N, C * down * across, shape.y[2] + rows - 1, shape.y[3] + columns - 1
    return Shape(x, (K, c * down * across, rows, columns), shape.y, (1, 1), ((0, 0), (0, 0)), shape.groups)


def _parts(shape: Shape, name: str, dtype: Any) -> list[Part]:
    """What the workspace holds: two of images, filters and outputs as blocks, then the parts of a split sum."""
    inner, rung = _blocked(shape), _rung(dtype)
    sums = rung.workspace(inner.product(name), inner.out(name), Spec((), dtype), shape.groups)
    made = {
        "forward": [(inner.x, dtype), (inner.w, dtype)],
        "data": [(inner.w, dtype), (inner.x, dtype)],
        "weights": [(inner.x, dtype), (inner.w, accumulator(dtype))],
    }
    return [*made[name], (sums.shape, sums.dtype)]


def _bytes(part: Part) -> int:
    return int(-(-prod(part[0]) * part[1].itemsize // ALIGN) * ALIGN)


def _views(workspace: Array, parts: list[Part]) -> list[Array]:
    views, start, raw = [], 0, workspace.reshape(-1).view(np.uint8)
    for shape, dtype in parts:
        views.append(raw[start : start + prod(shape) * dtype.itemsize].view(dtype).reshape(shape))
        start += _bytes((shape, dtype))
    return views


def _options(name: str, of: Callable[..., Shape]) -> dict[str, Any]:
    def refuses(*specs: Spec, **keywords: Any) -> str | None:
        shape = of(*specs, **keywords)
        if shape.stride == (1, 1):
            return "a stride of 1 has no blocks"
        return _rung(specs[0].dtype).refusal(_blocked(shape).product(name))

    def workspace(*specs: Spec, **keywords: Any) -> Spec:
        dtype = specs[0].dtype
        size = sum(map(_bytes, _parts(of(*specs, **keywords), name, dtype))) // dtype.itemsize
        return Spec((size,), dtype, specs[0].device)

    return {"refuses": refuses, "workspace": workspace, "error": CHAIN, "types": ALL}


def _to_blocks(x: Array, z: Array, stride: Pair, top: int, left: int) -> None:
    SOURCE.launch("to_blocks<{T}>", blocks(z.size), (BLOCK,), x, z, np.int64(z.size), _blocks(x, z, stride, top, left))


def _from_blocks(z: Array, x: Array, stride: Pair, top: int, left: int) -> None:
    SOURCE.launch(
        "from_blocks<{T}>", blocks(x.size), (BLOCK,), z, x, np.int64(x.size), _blocks(x, z, stride, top, left)
    )


def _blocks(x: Array, z: Array, stride: Pair, top: int, left: int) -> Any:
    (_, C, H, W), (_, _, A, B) = x.shape, z.shape
    return structure(C=C, H=H, W=W, A=A, B=B, down=stride[0], across=stride[1], top=top, left=left)


@conv2d.kernel("gpu_cuda/space_to_depth", **_options("forward", forward_shape))
def forward(
    x: Array, w: Array, b: Array, *, stride: Pair, padding: Sides, groups: int, out: Array, workspace: Array
) -> None:
    shape = forward_shape(x, w, b, stride=stride, padding=padding, groups=groups)
    z, u, sums = _views(workspace, _parts(shape, "forward", x.dtype))
    _to_blocks(x, z, stride, padding[0][0], padding[1][0])
    _to_blocks(w, u, stride, 0, 0)
    run(_rung(x.dtype), "forward", _blocked(shape), (z, u, b), out, sums, bias=(b, out[0, 0].size), relu=False)


@conv2d_backward_data.kernel("gpu_cuda/space_to_depth", **_options("data", data_shape))
def backward_data(
    dy: Array,
    w: Array,
    *,
    x_shape: tuple[int, ...],
    stride: Pair,
    padding: Sides,
    groups: int,
    out: Array,
    workspace: Array,
) -> None:
    shape = data_shape(dy, w, x_shape=x_shape, stride=stride, padding=padding, groups=groups)
    u, dz, sums = _views(workspace, _parts(shape, "data", dy.dtype))
    _to_blocks(w, u, stride, 0, 0)
    run(_rung(dy.dtype), "data", _blocked(shape), (dy, u), dz, sums)
    _from_blocks(dz, out, stride, padding[0][0], padding[1][0])


@conv2d_backward_weights.kernel("gpu_cuda/space_to_depth", **_options("weights", weights_shape))
def backward_weights(
    dy: Array,
    x: Array,
    *,
    w_shape: tuple[int, ...],
    stride: Pair,
    padding: Sides,
    groups: int,
    out: tuple[Array, Array],
    workspace: Array,
) -> None:
    shape = weights_shape(dy, x, w_shape=w_shape, stride=stride, padding=padding, groups=groups)
    z, du, sums = _views(workspace, _parts(shape, "weights", x.dtype))
    _to_blocks(x, z, stride, padding[0][0], padding[1][0])
    run(_rung(x.dtype), "weights", _blocked(shape), (dy, z), du, sums)
    _from_blocks(du, out[0], stride, 0, 0)
    bias_gradient(dy, out[1])
