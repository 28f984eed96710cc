"""The ladder of convolutions in CUDA C++, and which rung runs where none is asked for.

    gpu_cuda/naive      a thread for each output, neighbours in different channels
    gpu_cuda/coalesced  neighbours side by side in memory
    gpu_cuda/tiled      an implicit matrix product of tiles in shared memory
    gpu_cuda/registers  4 × 4 outputs in a thread's registers, 16-byte loads
    gpu_cuda/buffered   the next tiles on their way meanwhile
    gpu_cuda/tf32       tensor cores, factors of 10 bits
    gpu_cuda/tf32x3     tensor cores, each factor as two numbers of 10 bits

All rungs compute the three products of problem.cuh. Where a product has few tiles, its sum over k is split among more
blocks, and the parts are added in order. By default numbers keep all their bits: gpu_cuda/buffered.
"""

from math import prod
from typing import Any, NamedTuple

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.ops import conv2d, conv2d_backward_data, conv2d_backward_weights
from alexnet_np.ops.windows import Pair, Sides

from ..cuda.source import BLOCK, Source, blocks, structure

BLOCKS = 264  # that fill a GPU of 132 processors twice
TERMS = 256  # of a sum over k that are worth a block
MOST = 2**31 - 1  # what an int counts
MOST_IN_Y, MOST_IN_Z = 65535, 65535  # blocks of a grid

SUMS = Source(__file__, "gpu_cuda_sums.cu", ["sum_splits<{T}>", "bias_gradient<{T}>"])


class Shape(NamedTuple):
    """A convolution: images (N, C, H, W), filters (K, C/groups, R, S), outputs (P, Q)."""

    x: tuple[int, ...]
    w: tuple[int, ...]
    y: tuple[int, ...]
    stride: Pair
    padding: Sides
    groups: int

    def products(self) -> dict[str, tuple[int, int, int]]:
        """(rows, columns, terms) of each product, of one group: problem.cuh."""
        (N, C, H, W), (K, _, R, S), (_, _, P, Q), G = self.x, self.w, self.y, self.groups
        return {
            "forward": (K // G, N * P * Q, C // G * R * S),
            "data": (C // G, N * H * W, K // G * R * S),
            "weights": (K // G, C // G * R * S, N * P * Q),
        }

    def structure(self, splits: int) -> Any:
        (N, C, H, W), (K, _, R, S), (_, _, P, Q) = self.x, self.w, self.y
        (down, across), ((top, _), (left, _)) = self.stride, self.padding
        return structure(
            N=N, C=C, H=H, W=W, K=K, R=R, S=S, P=P, Q=Q, down=down, across=across, top=top, left=left,
            groups=self.groups, splits=splits,
        )  # fmt: skip


class Rung(NamedTuple):
    """A .cu file with the kernels forward, data and weights; its grid for (rows, columns), and threads of a block.

    tile: of C, for a block; 0 where a thread has one element and the sum is not split.
    """

    source: Source
    threads: int
    tile: int
    along_rows: bool = False

    def splits(self, product: tuple[int, int, int], groups: int) -> int:
        """Parts into which the sum over k is split."""
        if not self.tile:
            return 1
        rows, columns, terms = product
        there = -(-rows // self.tile) * -(-columns // self.tile) * groups
        return max(1, min(BLOCKS // there, terms // TERMS, MOST_IN_Z // groups))

    def grid(self, rows: int, columns: int, z: int) -> tuple[int, int, int]:
        if self.tile:
            return -(-columns // self.tile), -(-rows // self.tile), z
        quick, slow = (rows, columns) if self.along_rows else (columns, rows)
        return -(-quick // self.threads), min(slow, MOST_IN_Y), z

    def launch(self, name: str, shape: Shape, arrays: tuple[Array, ...], out: Array, bias: Any, workspace: Array) -> None:
        """One of the three products into `out`: through `workspace` where it is split. bias: of the forward, or None."""
        product = shape.products()[name]
        splits = self.splits(product, shape.groups)
        to = workspace if splits > 1 else out
        grid = self.grid(*product[:2], shape.groups * splits)
        self.source.launch(f"{name}<{{T}}>", grid, (self.threads,), *arrays, to, shape.structure(splits))
        if splits > 1:
            pixels, K = (out[0, 0].size, out.shape[1]) if bias is not None else (1, 1)
            rest = np.int64(out.size), splits, pixels, K, int(bias is not None)
            SUMS.launch("sum_splits<{T}>", blocks(out.size), (BLOCK,), workspace, arrays[0] if bias is None else bias, out, *rest)


NAMES = ["forward<{T}>", "data<{T}>", "weights<{T}>"]
BOTH, FLOAT = (np.float32, np.float64), (np.float32,)


def _source(name: str, types: Any = BOTH) -> Source:
    return Source(__file__, f"gpu_cuda_{name}.cu", NAMES, types)


RUNGS = {
    "naive": Rung(_source("naive"), 64, 0, along_rows=True),
    "coalesced": Rung(_source("coalesced"), 128, 0),
    "tiled": Rung(_source("tiled"), 256, 16),
    "registers": Rung(_source("registers"), 256, 64),
    "buffered": Rung(_source("buffered"), 256, 64),
    "tf32": Rung(_source("tf32", FLOAT), 128, 64),
    "tf32x3": Rung(_source("tf32x3", FLOAT), 128, 64),
}
ERRORS = {"tf32": 2.0**14, "tf32x3": 8.0}  # times that of the definition in float: 2¹³ is 10 bits in place of 23


def _refusal(rung: Rung, shape: Shape, dtype: Any) -> str | None:
    if dtype not in rung.source.types:
        return f"it computes in {', '.join(map(str, rung.source.types))}, not in {dtype}"
    if max(max(sides) for sides in shape.products().values()) > MOST:
        return f"a product of {shape.products()} has more than {MOST} rows, columns or terms"
    return None


def _workspace(rung: Rung, name: str, shape: Shape, out: tuple[int, ...], like: Spec) -> Spec | None:
    splits = rung.splits(shape.products()[name], shape.groups)
    return Spec((splits if splits > 1 else 1, prod(out) if splits > 1 else 1), like.dtype, like.device)


def _register(name: str, rung: Rung) -> None:
    key, error = f"gpu_cuda/{name}", ERRORS.get(name, 2.0)

    def forward_shape(x: Any, w: Any, b: Any, *, stride: Pair, padding: Sides, groups: int) -> Shape:
        specs = [Spec(a.shape, a.dtype) for a in (x, w, b)]
        y = conv2d.infer(*specs, stride=stride, padding=padding, groups=groups)[0].shape
        return Shape(x.shape, w.shape, y, stride, padding, groups)

    def data_shape(dy: Any, w: Any, *, x_shape: Any, stride: Pair, padding: Sides, groups: int) -> Shape:
        return Shape(tuple(x_shape), w.shape, dy.shape, stride, padding, groups)

    def weights_shape(dy: Any, x: Any, *, w_shape: Any, stride: Pair, padding: Sides, groups: int) -> Shape:
        return Shape(x.shape, tuple(w_shape), dy.shape, stride, padding, groups)

    @conv2d.kernel(
        key,
        error=error,
        refuses=lambda x, w, b, **k: _refusal(rung, forward_shape(x, w, b, **k), x.dtype),
        workspace=lambda x, w, b, **k: _workspace(rung, "forward", s := forward_shape(x, w, b, **k), s.y, x),
    )
    def forward(
        x: Array, w: Array, b: Array, *, stride: Pair, padding: Sides, groups: int, out: Array, workspace: Array
    ) -> None:
        shape = Shape(x.shape, w.shape, out.shape, stride, padding, groups)
        rung.launch("forward", shape, (x, w, b), out, b, workspace)

    @conv2d_backward_data.kernel(
        key,
        error=error,
        refuses=lambda dy, w, **k: _refusal(rung, data_shape(dy, w, **k), dy.dtype),
        workspace=lambda dy, w, **k: _workspace(rung, "data", s := data_shape(dy, w, **k), s.x, dy),
    )
    def backward_data(
        dy: Array, w: Array, *, x_shape: Any, stride: Pair, padding: Sides, groups: int, out: Array, workspace: Array
    ) -> None:
        shape = data_shape(dy, w, x_shape=x_shape, stride=stride, padding=padding, groups=groups)
        rung.launch("data", shape, (dy, w), out, None, workspace)

    @conv2d_backward_weights.kernel(
        key,
        error=error,
        refuses=lambda dy, x, **k: _refusal(rung, weights_shape(dy, x, **k), dy.dtype),
        workspace=lambda dy, x, **k: _workspace(rung, "weights", s := weights_shape(dy, x, **k), s.w, dy),
    )
    def backward_weights(
        dy: Array,
        x: Array,
        *,
        w_shape: Any,
        stride: Pair,
        padding: Sides,
        groups: int,
        out: tuple[Array, Array],
        workspace: Array,
    ) -> None:
        dw, db = out
        shape = weights_shape(dy, x, w_shape=w_shape, stride=stride, padding=padding, groups=groups)
        rung.launch("weights", shape, (dy, x), dw, None, workspace)
        N, K, P, Q = dy.shape
        SUMS.launch("bias_gradient<{T}>", (K,), (BLOCK,), dy, db, N, K, P * Q)


for _name, _rung in RUNGS.items():
    _register(_name, _rung)


@conv2d.choose("gpu_cuda")
@conv2d_backward_data.choose("gpu_cuda")
@conv2d_backward_weights.choose("gpu_cuda")
def _(*_: Spec, **__: Any) -> str:
    return "gpu_cuda/buffered"
