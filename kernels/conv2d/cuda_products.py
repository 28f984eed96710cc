"""A convolution's three products on the GPU: the rungs that compute them, and their shapes."""

from typing import Any, NamedTuple

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import conv2d
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.precision import ALL, FLOATS

from ..cuda.product import FLOAT, HALF, Product, Rung
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


def forward_shape(x: Any, w: Any, b: Any, *, stride: Pair, padding: Sides, groups: int) -> Shape:
    specs = [Spec(a.shape, a.dtype) for a in (x, w, b)]
    y = conv2d.infer(*specs, stride=stride, padding=padding, groups=groups)[0].shape
    return Shape(x.shape, w.shape, y, stride, padding, groups)


def data_shape(dy: Any, w: Any, *, x_shape: tuple[int, ...], stride: Pair, padding: Sides, groups: int) -> Shape:
    return Shape(tuple(x_shape), w.shape, dy.shape, stride, padding, groups)


def weights_shape(dy: Any, x: Any, *, w_shape: tuple[int, ...], stride: Pair, padding: Sides, groups: int) -> Shape:
    return Shape(x.shape, tuple(w_shape), dy.shape, stride, padding, groups)


def run(rung: Rung, name: str, shape: Shape, arrays: Any, out: Array, room: Array, **epilogue: Any) -> None:
    product, relu = shape.product(name), epilogue.get("relu", False)
    parameters = shape.structure(rung.splits(product, shape.groups), relu)
    rung.launch(NAMES[name], product, arrays, out, room, parameters, groups=shape.groups, **epilogue)


def bias_gradient(dy: Array, db: Array) -> None:
    N, K, P, Q = dy.shape
    BIAS.launch("bias_gradient<{T}>", (K,), (BLOCK,), dy, db, N, K, P * Q)
