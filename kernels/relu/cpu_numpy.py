"""relu as one NumPy pass; the backward masks the bits of dy, which vectorises where a copy under a mask does not."""

from alexnet_np.backend import Array, array_module
from alexnet_np.ops import relu, relu_backward


@relu.kernel("cpu_numpy")
def forward(x: Array, *, out: Array) -> None:
    array_module(x).maximum(x, 0, out=out)


@relu_backward.kernel("cpu_numpy")
def backward(dy: Array, y: Array, *, out: Array) -> None:
    bits = f"i{dy.dtype.itemsize}"
    mask = (y > 0).astype(bits)  # 1 or 0; its negative has all bits set, or none
    array_module(dy).bitwise_and(dy.view(bits), -mask, out=out.view(bits))
