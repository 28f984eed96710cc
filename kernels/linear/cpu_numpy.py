"""linear as one BLAS product in each direction."""

from alexnet_np.backend import Array, array_module
from alexnet_np.ops import linear, linear_backward_data, linear_backward_weights


@linear.kernel("cpu_numpy")
def forward(x: Array, w: Array, b: Array, *, out: Array) -> None:
    array_module(x).matmul(x, w.T, out=out)
    out += b


@linear_backward_data.kernel("cpu_numpy")
def backward_data(dy: Array, w: Array, *, out: Array) -> None:
    array_module(dy).matmul(dy, w, out=out)


@linear_backward_weights.kernel("cpu_numpy")
def backward_weights(dy: Array, x: Array, *, out: tuple[Array, Array]) -> None:
    dw, db = out
    array_module(dy).matmul(dy.T, x, out=dw)
    dy.sum(axis=0, out=db)
