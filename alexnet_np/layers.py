"""The layers: parameters, gradients and a cache around the operations; no arithmetic of their own.

`y = layer.forward(x, train=True)` leaves `layer.cache` under the operation's own names, and `dx = layer.backward(dy)`
consumes it and overwrites `layer.grads`. A forward with train=False leaves nothing, so a backward after it raises.
"""

from abc import ABC, abstractmethod
from math import prod
from typing import Any

import numpy as np

from . import ops
from .backend import Array, device_of, paged
from .dispatch import Op
from .initialize import Initializer, he, zero
from .operation import Cost, Spec


class Layer(ABC):
    """A step of a network. Its parameters are drawn when they are first asked for, from `seed` alone.

    op       the operation of the forward pass
    options  its keywords, as given; those that no input fits are refused at once: ValueError
    """

    op: Op

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.grads: dict[str, Array] = {}
        self.cache: dict[str, Any] | None = None

    @property
    def params(self) -> dict[str, Array]:
        """Parameters by name; those of the gradients are the same."""
        return {}

    def param_specs(self) -> dict[str, Spec]:
        """Shapes and dtypes of the parameters, without drawing them."""
        return {}

    @abstractmethod
    def forward(self, x: Array, train: bool = False) -> Array: ...

    @abstractmethod
    def backward(self, dy: Array) -> Array: ...

    def infer(self, x: Spec) -> tuple[Spec, ...]:
        """Specs of the outputs for an input of spec `x`; the first is y. Raises where the input does not fit."""
        return self.op.infer(x, *self.param_specs().values(), **self.options)

    def cost(self, x: Spec) -> Cost:
        """What a forward pass on an input of spec `x` costs."""
        return self.op.cost(x, *self.param_specs().values(), **self.options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.options.items())})"

    def _keep(self, train: bool, **cache: Any) -> None:
        self.cache = cache if train else None

    def _take(self) -> dict[str, Any]:
        if self.cache is None:
            raise RuntimeError(
                f"{self!r}: backward needs a forward with train=True right before it, and uses up what that left"
            )
        cache, self.cache = self.cache, None
        return cache


class Weighted(Layer):
    """A layer with a weight and a bias. `backward(dy, need_dx=False)` computes their gradients alone, as suffices for
    the first layer of a network."""

    def __init__(
        self, w_shape: tuple[int, ...], weight: Initializer, bias: Initializer, seed: Any, dtype: Any, **options: Any
    ) -> None:
        super().__init__(**options)
        if not all(ops.checks.is_int(n) and n > 0 for n in w_shape):
            raise ValueError(f"{type(self).__name__}: a weight of shape {w_shape} needs positive whole numbers")
        self.initial = {"weight": weight, "bias": bias}
        self.shapes = {"weight": w_shape, "bias": w_shape[:1]}
        self.seed, self.dtype = seed, np.dtype(dtype)
        self._params: dict[str, Any] | None = None

    @property
    def params(self) -> dict[str, Array]:
        if self._params is None:
            random, weight = np.random.default_rng(self.seed), self.shapes["weight"]
            fans = prod(weight[1:]), weight[0] * prod(weight[2:]) // self.options.get("groups", 1)
            params = {name: paged(shape, self.dtype) for name, shape in self.shapes.items()}
            for name, array in params.items():
                drawn = self.initial[name](random, array.shape, *fans)
                if drawn.shape != array.shape:
                    kind = type(self).__name__
                    raise ValueError(f"{kind}: {name} was drawn with shape {drawn.shape}, not {array.shape}")
                array[...] = drawn
            self._params = params
        return self._params

    @abstractmethod
    def backward(self, dy: Array, need_dx: bool = True) -> Array: ...

    def param_specs(self) -> dict[str, Spec]:
        return {name: Spec(shape, self.dtype) for name, shape in self.shapes.items()}

    def _gradient_buffers(self) -> tuple[Array, Array] | None:
        return (self.grads["weight"], self.grads["bias"]) if self.grads else None


class Conv2d(Weighted):
    """Convolution with `out_channels` filters; see ops.conv2d. He initialisation and bias 0 unless told otherwise."""

    op = ops.conv2d

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: Any,
        stride: Any = 1,
        padding: Any = 0,
        groups: int = 1,
        *,
        weight: Initializer = he,
        bias: Initializer = zero,
        seed: Any = 0,
        dtype: Any = np.float32,
    ) -> None:
        try:
            ops.checks.count("groups", groups)
            if in_channels % groups or out_channels % groups:
                raise ValueError(f"groups={groups} does not divide {in_channels} and {out_channels} channels")
            w_shape = (out_channels, in_channels // groups, *ops.windows.pair("size", size))
            ops.windows.pair("stride", stride)
            ops.windows.sides("padding", padding)
        except ValueError as error:
            raise ValueError(f"Conv2d: {error}") from None
        super().__init__(w_shape, weight, bias, seed, dtype, stride=stride, padding=padding, groups=groups)

    def forward(self, x: Array, train: bool = False) -> Array:
        y = ops.conv2d(x, self.params["weight"], self.params["bias"], **self.options)
        self._keep(train, x=x)
        return y

    def backward(self, dy: Array, need_dx: bool = True) -> Array:
        x, w = self._take()["x"], self.params["weight"]
        dw, db = ops.conv2d_backward_weights(dy, x, w_shape=w.shape, out=self._gradient_buffers(), **self.options)
        self.grads = {"weight": dw, "bias": db}
        return ops.conv2d_backward_data(dy, w, x_shape=x.shape, **self.options) if need_dx else None


class Linear(Weighted):
    """Fully-connected layer; see ops.linear. He initialisation and bias 0 unless told otherwise."""

    op = ops.linear

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        weight: Initializer = he,
        bias: Initializer = zero,
        seed: Any = 0,
        dtype: Any = np.float32,
    ) -> None:
        super().__init__((out_features, in_features), weight, bias, seed, dtype)

    def forward(self, x: Array, train: bool = False) -> Array:
        y = ops.linear(x, self.params["weight"], self.params["bias"])
        self._keep(train, x=x)
        return y

    def backward(self, dy: Array, need_dx: bool = True) -> Array:
        dw, db = ops.linear_backward_weights(dy, self._take()["x"], out=self._gradient_buffers())
        self.grads = {"weight": dw, "bias": db}
        return ops.linear_backward_data(dy, self.params["weight"]) if need_dx else None


class MaxPool2d(Layer):
    """Max-pooling; see ops.maxpool2d."""

    op = ops.maxpool2d

    def __init__(self, size: Any, stride: Any, padding: Any = 0) -> None:
        super().__init__(size=size, stride=stride, padding=padding)
        self.op.infer(Spec((1, 1, 2**15, 2**15), np.dtype(np.float32)), **self.options)

    def forward(self, x: Array, train: bool = False) -> Array:
        y, index = ops.maxpool2d(x, **self.options)
        self._keep(train, index=index, x_shape=x.shape)
        return y

    def backward(self, dy: Array) -> Array:
        cache = self._take()
        return ops.maxpool2d_backward(dy, cache["index"], x_shape=cache["x_shape"], **self.options)


class LRN(Layer):
    """Local response normalisation across channels; see ops.lrn for the conventions."""

    op = ops.lrn

    def __init__(
        self,
        size: int = 5,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        alpha_over_size: bool = False,
        groups: int = 1,
    ) -> None:
        super().__init__(size=size, k=k, alpha=alpha, beta=beta, alpha_over_size=alpha_over_size, groups=groups)
        ops.checks.count("lrn: groups", groups)
        self.op.infer(Spec((1, groups, 1, 1), np.dtype(np.float32)), **self.options)

    def forward(self, x: Array, train: bool = False) -> Array:
        y, scale = ops.lrn(x, **self.options)
        self._keep(train, x=x, scale=scale)
        return y

    def backward(self, dy: Array) -> Array:
        cache = self._take()
        return ops.lrn_backward(dy, cache["x"], cache["scale"], **self.options)


class ReLU(Layer):
    """max(x, 0); see ops.relu."""

    op = ops.relu

    def forward(self, x: Array, train: bool = False) -> Array:
        y = ops.relu(x)
        self._keep(train, y=y)
        return y

    def backward(self, dy: Array) -> Array:
        return ops.relu_backward(dy, self._take()["y"])


class Dropout(Layer):
    """Dropout; see ops.dropout. A network sets `seed`, `index` (its place in it) and `iteration`: the random key."""

    op = ops.dropout

    def __init__(self, rate: float = 0.5, scale_at_train: bool = True) -> None:
        super().__init__(rate=rate, scale_at_train=scale_at_train)
        self.seed = self.index = self.iteration = 0
        self.op.infer(Spec((1,), np.dtype(np.float32)), key=self.key, **self.options)

    @property
    def key(self) -> tuple[int, int, int]:
        """What the random words depend on; the same key drops the same elements."""
        return self.seed, self.index, self.iteration

    def infer(self, x: Spec) -> tuple[Spec, ...]:
        return self.op.infer(x, key=self.key, **self.options)

    def cost(self, x: Spec) -> Cost:
        return self.op.cost(x, key=self.key, **self.options)

    def forward(self, x: Array, train: bool = False) -> Array:
        y = ops.dropout(x, key=self.key, train=train, **self.options)
        self._keep(train, x_shape=x.shape)
        return y

    def backward(self, dy: Array) -> Array:
        _check_shape("Dropout", dy, self._take()["x_shape"])
        return ops.dropout_backward(dy, key=self.key, **self.options)


class Flatten(Layer):
    """(N, C, H, W) as (N, C·H·W), without a copy."""

    def infer(self, x: Spec) -> tuple[Spec, ...]:
        return (Spec((x.shape[0], prod(x.shape[1:])), x.dtype, x.device),)

    def cost(self, x: Spec) -> Cost:
        return Cost(0, 0)

    def forward(self, x: Array, train: bool = False) -> Array:
        if device_of(x) is None:
            raise TypeError(f"Flatten: x must be a NumPy or CuPy array, got {type(x).__name__}")
        if 0 in x.shape or not x.flags.c_contiguous:
            raise ValueError(f"Flatten: x must be C-contiguous with elements, got {x.shape} with strides {x.strides}")
        self._keep(train, x_shape=x.shape)
        return x.reshape(len(x), -1)

    def backward(self, dy: Array) -> Array:
        x_shape = self._take()["x_shape"]
        _check_shape("Flatten", dy, (x_shape[0], prod(x_shape[1:])))
        return dy.reshape(x_shape)


def _check_shape(layer: str, dy: Array, expected: tuple[int, ...]) -> None:
    """For the layers whose backward operation cannot know the forward's shape."""
    if device_of(dy) is None:
        raise TypeError(f"{layer}: dy must be a NumPy or CuPy array, got {type(dy).__name__}")
    if dy.shape != expected:
        raise ValueError(f"{layer}: dy has shape {dy.shape}, expected {expected}")


class Softmax(Layer):
    """Probabilities; see ops.softmax. At the end of a network it is left out while training: the loss takes logits."""

    op = ops.softmax

    def forward(self, x: Array, train: bool = False) -> Array:
        y = ops.softmax(x)
        self._keep(train, y=y)
        return y

    def backward(self, dy: Array) -> Array:
        return ops.softmax_backward(dy, self._take()["y"])
