"""The ladder of convolutions in CUDA C++, and which rung runs where none is asked for.

    gpu_cuda/naive      a thread for each output, neighbours in different channels
    gpu_cuda/coalesced  neighbours side by side in memory
    gpu_cuda/tiled      an implicit matrix product of tiles in shared memory
    gpu_cuda/registers  4 × 4 outputs in a thread's registers, 16-byte loads
    gpu_cuda/buffered   the next tiles on their way meanwhile
    gpu_cuda/tf32       tensor cores, factors of 10 bits
    gpu_cuda/tf32x3     tensor cores, each factor as two numbers of 10 bits
    gpu_cuda/bf16       tensor cores, numbers stored in bfloat16
    gpu_cuda/space_to_depth  a stride of d as a stride of 1 on blocks of d × d pixels, by the last two

All rungs compute the three products of problem.cuh. Where a product has few tiles, its sum over k is split among more
blocks, and the parts are added in order. By default numbers keep all their bits: gpu_cuda/buffered, or gpu_cuda/bf16
for those that have no more.
"""

from collections.abc import Callable
from typing import Any

from alexnet_np.backend import Array
from alexnet_np.dispatch import Op
from alexnet_np.operation import Spec
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.precision import is_bfloat16

from ..cuda.product import CHAIN, ERRORS, Rung
from . import gpu_cuda_space_to_depth  # noqa: F401 (which registers a rung of its own)
from .cuda_products import RUNGS, Shape, bias_gradient, data_shape, forward_shape, run, weights_shape


def _options(name: str, rung: Rung, of: Callable[..., Shape], key: str) -> dict[str, Any]:
    """What registration asks of a rung's product, from the Shape that `of` makes of a call."""

    def refuses(*specs: Spec, **keywords: Any) -> str | None:
        return rung.refusal(of(*specs, **keywords).product(name))

    def workspace(*specs: Spec, **keywords: Any) -> Spec:
        shape = of(*specs, **keywords)
        return rung.workspace(shape.product(name), shape.out(name), specs[0], shape.groups)

    return {"refuses": refuses, "workspace": workspace, "error": ERRORS.get(key, CHAIN), "types": rung.source.types}


def register_forward(op: Op, key: str, rung: Rung, relu: bool) -> None:
    """A rung as a kernel of conv2d, or of conv2d_relu."""

    @op.kernel(f"gpu_cuda/{key}", **_options("forward", rung, forward_shape, key))
    def forward(
        x: Array, w: Array, b: Array, *, stride: Pair, padding: Sides, groups: int, out: Array, workspace: Array
    ) -> None:
        shape = forward_shape(x, w, b, stride=stride, padding=padding, groups=groups)
        run(rung, "forward", shape, (x, w, b), out, workspace, bias=(b, out[0, 0].size), relu=relu)


def _register(key: str, rung: Rung) -> None:
    register_forward(conv2d, key, rung, relu=False)

    @conv2d_backward_data.kernel(f"gpu_cuda/{key}", **_options("data", rung, data_shape, key))
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
        run(rung, "data", shape, (dy, w), out, workspace)

    @conv2d_backward_weights.kernel(f"gpu_cuda/{key}", **_options("weights", rung, weights_shape, key))
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
        dw, db = out
        shape = weights_shape(dy, x, w_shape=w_shape, stride=stride, padding=padding, groups=groups)
        run(rung, "weights", shape, (dy, x), dw, workspace)
        bias_gradient(dy, db)


for _name, _rung in RUNGS.items():
    _register(_name, _rung)


@conv2d.choose("gpu_cuda")
@conv2d_backward_data.choose("gpu_cuda")
@conv2d_backward_weights.choose("gpu_cuda")
def best(x: Spec, *_: Spec, **__: Any) -> str:
    """The rung that keeps all bits of the numbers."""
    return "gpu_cuda/bf16" if is_bfloat16(x.dtype) else "gpu_cuda/buffered"
