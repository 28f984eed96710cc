"""The ladder of the linear layer's products in CUDA C++: conv2d's from its tiles on, around the same cores."""

from collections.abc import Callable
from typing import Any

from alexnet_np.backend import Array
from alexnet_np.dispatch import Op
from alexnet_np.operation import Spec
from alexnet_np.ops import linear, linear_backward_data, linear_backward_weights
from alexnet_np.precision import ALL, FLOATS, is_bfloat16

from ..cuda.product import CHAIN, ERRORS, FLOAT, HALF, Product, Rung
from ..cuda.source import BLOCK, Source, blocks

NAMES = {"forward": "forward<{T}, {Y}>", "data": "data<{T}, {Y}>", "weights": "weights<{T}>"}
BIAS = Source(__file__, "gpu_cuda_bias.cu", ["bias_gradient<{T}>"], ALL)


def _source(name: str, types: Any = FLOATS) -> Source:
    return Source(__file__, f"gpu_cuda_{name}.cu", list(NAMES.values()), types)


RUNGS = {
    "tiled": Rung(_source("tiled"), 256, 16),
    "registers": Rung(_source("registers"), 256, 64),
    "buffered": Rung(_source("buffered"), 256, 64),
    "tf32": Rung(_source("tf32", FLOAT), 128, 64),
    "tf32x3": Rung(_source("tf32x3", FLOAT), 128, 64),
    "bf16": Rung(_source("bf16", HALF), 128, 64),
}


def _forward(x: Any, w: Any, b: Any) -> tuple[Product, tuple[int, ...]]:
    return (x.shape[0], w.shape[0], x.shape[1]), (x.shape[0], w.shape[0])


def _data(dy: Any, w: Any) -> tuple[Product, tuple[int, ...]]:
    return (dy.shape[0], w.shape[1], w.shape[0]), (dy.shape[0], w.shape[1])


def _weights(dy: Any, x: Any) -> tuple[Product, tuple[int, ...]]:
    return (dy.shape[1], x.shape[1], x.shape[0]), (dy.shape[1], x.shape[1])


def _options(rung: Rung, of: Callable[..., tuple[Product, tuple[int, ...]]], key: str) -> dict[str, Any]:
    """What registration asks of a rung's product, from (product, shape of the output) that `of` makes of a call."""
    return {
        "refuses": lambda *specs: rung.refusal(of(*specs)[0]),
        "workspace": lambda *specs: rung.workspace(*of(*specs), specs[0]),
        "error": ERRORS.get(key, CHAIN),
        "types": rung.source.types,
    }


def _run(
    rung: Rung, name: str, product: Product, sides: Any, arrays: Any, out: Array, room: Array, **epilogue: Any
) -> None:
    parameters = *sides, rung.splits(product), *([int(epilogue["relu"])] if epilogue else [])
    rung.launch(NAMES[name], product, arrays, out, room, *parameters, **epilogue)


def register_forward(op: Op, key: str, rung: Rung, relu: bool) -> None:
    """A rung as a kernel of linear, or of linear_relu."""

    @op.kernel(f"gpu_cuda/{key}", **_options(rung, _forward, key))
    def forward(x: Array, w: Array, b: Array, *, out: Array, workspace: Array) -> None:
        sides = *x.shape, w.shape[0]
        _run(rung, "forward", _forward(x, w, b)[0], sides, (x, w, b), out, workspace, bias=(b, 1), relu=relu)


def _register(key: str, rung: Rung) -> None:
    register_forward(linear, key, rung, relu=False)

    @linear_backward_data.kernel(f"gpu_cuda/{key}", **_options(rung, _data, key))
    def backward_data(dy: Array, w: Array, *, out: Array, workspace: Array) -> None:
        sides = *out.shape, w.shape[0]
        _run(rung, "data", _data(dy, w)[0], sides, (dy, w), out, workspace)

    @linear_backward_weights.kernel(f"gpu_cuda/{key}", **_options(rung, _weights, key))
    def backward_weights(dy: Array, x: Array, *, out: tuple[Array, Array], workspace: Array) -> None:
        (dw, db), (N, K) = out, dy.shape
        _run(rung, "weights", _weights(dy, x)[0], (*x.shape, K), (dy, x), dw, workspace)
        BIAS.launch("bias_gradient<{T}>", blocks(K), (BLOCK,), dy, db, N, K)


for _name, _rung in RUNGS.items():
    _register(_name, _rung)


@linear.choose("gpu_cuda")
@linear_backward_data.choose("gpu_cuda")
@linear_backward_weights.choose("gpu_cuda")
def best(x: Spec, *_: Spec, **__: Any) -> str:
    """The rung that keeps all bits of the numbers."""
    return "gpu_cuda/bf16" if is_bfloat16(x.dtype) else "gpu_cuda/buffered"
