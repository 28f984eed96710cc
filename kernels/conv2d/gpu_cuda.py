"""The ladder of convolutions in CUDA C++, and which rung runs where none is asked for.

    gpu_cuda/naive      a thread for each output, neighbours in different channels
    gpu_cuda/coalesced  neighbours side by side in memory
    gpu_cuda/tiled      an implicit matrix product of tiles in shared memory
    gpu_cuda/registers  4 × 4 outputs in a thread's registers, 16-byte loads
    gpu_cuda/buffered   the next tiles on their way meanwhile
    gpu_cuda/tf32       tensor cores, factors of 10 bits
    gpu_cuda/tf32x3     tensor cores, each factor as two numbers of 10 bits
    gpu_cuda/bf16       tensor cores, numbers stored in bfloat16

All rungs compute the three products of problem.cuh. Where a product has few tiles, its sum over k is split among more
blocks, and the parts are added in order. By default numbers keep all their bits: gpu_cuda/buffered, or gpu_cuda/bf16
for those that have no more.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from alexnet_np.backend import Array
from alexnet_np.dispatch import Op
from alexnet_np.operation import Spec
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.precision import ALL, FLOATS, is_bfloat16

from ..cuda.product import CHAIN, ERRORS, FLOAT, HALF, Product, Rung
from ..cuda.source import BLOCK, Source, structure

NAMES = {"forward": "forward<{T}, {Y}>", "data": "data<{T}, {Y}>", "weights": "weights<{T}>"}
BIAS = Source(__file__, "gpu_cuda_bias.cu", ["bias_gradient<{T}>"], ALL)


def _source(name: str, types: Any = FLOATS) -> Source:
    return Source(__file__, f"gpu_cuda_{name}.cu", list(NAMES.values()), types)


RUNGS = {
    "naive": Rung(_source("naive"), 64, 0, along_rows=True),
    "coalesced": Rung(_source("coalesced"), 128, 0),
    "tiled": Rung(_source("tiled"), 256, 16),
    "registers": Rung(_source("registers"), 256, 64),
    "buffered": Rung(_source("buffered"), 256, 64),
    "tf32": Rung(_source("tf32", FLOAT), 128, 64),
    "tf32x3": Rung(_source("tf32x3", FLOAT), 128, 64),
    "bf16": Rung(_source("bf16", HALF), 128, 64),
}


class Shape(NamedTuple):
    """A convolution: images (N, C, H, W), filters (K, C/groups, R, S), outputs (N, K, P, Q)."""

    x: tuple[int, ...]
    w: tuple[int, ...]
    y: tuple[int, ...]
    stride: Pair
    padding: Sides
    groups: int

    def product(self, name: str) -> Product:
        """The matrix product `name` of one group: problem.cuh."""
        (N, C, H, W), (K, _, R, S), (_, _, P, Q), G = self.x, self.w, self.y, self.groups
        return {
            "forward": (K // G, N * P * Q, C // G * R * S),
            "data": (C // G, N * H * W, K // G * R * S),
            "weights": (K // G, C // G * R * S, N * P * Q),
        }[name]

    def out(self, name: str) -> tuple[int, ...]:
        return {"forward": self.y, "data": self.x, "weights": self.w}[name]

    def structure(self, splits: int, relu: bool = False) -> Any:
        (N, C, H, W), (K, _, R, S), (_, _, P, Q) = self.x, self.w, self.y
        (down, across), ((top, _), (left, _)) = self.stride, self.padding
        return structure(
            N=N, C=C, H=H, W=W, K=K, R=R, S=S, P=P, Q=Q, down=down, across=across, top=top, left=left,
            groups=self.groups, splits=splits, relu=int(relu),
        )  # fmt: skip


def _forward(x: Any, w: Any, b: Any, *, stride: Pair, padding: Sides, groups: int) -> Shape:
    specs = [Spec(a.shape, a.dtype) for a in (x, w, b)]
    y = conv2d.infer(*specs, stride=stride, padding=padding, groups=groups)[0].shape
    return Shape(x.shape, w.shape, y, stride, padding, groups)


def _data(dy: Any, w: Any, *, x_shape: tuple[int, ...], stride: Pair, padding: Sides, groups: int) -> Shape:
    return Shape(tuple(x_shape), w.shape, dy.shape, stride, padding, groups)


def _weights(dy: Any, x: Any, *, w_shape: tuple[int, ...], stride: Pair, padding: Sides, groups: int) -> Shape:
    return Shape(x.shape, tuple(w_shape), dy.shape, stride, padding, groups)


def _options(name: str, rung: Rung, of: Callable[..., Shape], key: str) -> dict[str, Any]:
    """What registration asks of a rung's product, from the Shape that `of` makes of a call."""

    def refuses(*specs: Spec, **keywords: Any) -> str | None:
        return rung.refusal(of(*specs, **keywords).product(name))

    def workspace(*specs: Spec, **keywords: Any) -> Spec:
        shape = of(*specs, **keywords)
        return rung.workspace(shape.product(name), shape.out(name), specs[0], shape.groups)

    return {"refuses": refuses, "workspace": workspace, "error": ERRORS.get(key, CHAIN), "types": rung.source.types}


def _run(rung: Rung, name: str, shape: Shape, arrays: Any, out: Array, room: Array, **epilogue: Any) -> None:
    product, relu = shape.product(name), epilogue.get("relu", False)
    parameters = shape.structure(rung.splits(product, shape.groups), relu)
    rung.launch(NAMES[name], product, arrays, out, room, parameters, groups=shape.groups, **epilogue)


def register_forward(op: Op, key: str, rung: Rung, relu: bool) -> None:
    """A rung as a kernel of conv2d, or of conv2d_relu."""

    @op.kernel(f"gpu_cuda/{key}", **_options("forward", rung, _forward, key))
    def forward(
        x: Array, w: Array, b: Array, *, stride: Pair, padding: Sides, groups: int, out: Array, workspace: Array
    ) -> None:
        shape = _forward(x, w, b, stride=stride, padding=padding, groups=groups)
        _run(rung, "forward", shape, (x, w, b), out, workspace, bias=(b, out[0, 0].size), relu=relu)


def _register(key: str, rung: Rung) -> None:
    register_forward(conv2d, key, rung, relu=False)

    @conv2d_backward_data.kernel(f"gpu_cuda/{key}", **_options("data", rung, _data, key))
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
        shape = _data(dy, w, x_shape=x_shape, stride=stride, padding=padding, groups=groups)
        _run(rung, "data", shape, (dy, w), out, workspace)

    @conv2d_backward_weights.kernel(f"gpu_cuda/{key}", **_options("weights", rung, _weights, key))
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
        (dw, db), (N, K, P, Q) = out, dy.shape
        shape = _weights(dy, x, w_shape=w_shape, stride=stride, padding=padding, groups=groups)
        _run(rung, "weights", shape, (dy, x), dw, workspace)
        BIAS.launch("bias_gradient<{T}>", (K,), (BLOCK,), dy, db, N, K, P * Q)


for _name, _rung in RUNGS.items():
    _register(_name, _rung)


@conv2d.choose("gpu_cuda")
@conv2d_backward_data.choose("gpu_cuda")
@conv2d_backward_weights.choose("gpu_cuda")
def best(x: Spec, *_: Spec, **__: Any) -> str:
    """The rung that keeps all bits of the numbers."""
    return "gpu_cuda/bf16" if is_bfloat16(x.dtype) else "gpu_cuda/buffered"
