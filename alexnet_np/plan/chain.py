"""A network's layers as calls on a tape: fused where the backend has a kernel for it, and the backwards behind them."""

from collections.abc import Callable
from math import prod
from typing import Any

from .. import ops
from ..backend import Array
from ..dispatch import OPS, Op, default_backend
from ..layers import LRN, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU
from .arena import Buffer
from .tape import Tape

Backward = Callable[[Buffer, bool], Buffer]  # from dy, and whether dx is needed, to dx (dy where it is not)
Named = list[tuple[str, Layer]]
WITH_RELU = {Conv2d: ops.conv2d_relu, Linear: ops.linear_relu}


class Chain:
    """Records layers on `tape`, and what goes back through them.

    weight     from a parameter's full name to the buffer that a forward reads
    gradient   from the same to the buffer for its gradient; None where it is not trained
    keys       from a dropout layer to the array that its kernel takes (seed, layer, iteration) from
    backwards  one for each part of the forward, in order: its layers, how it goes back, the names of its parameters
    """

    def __init__(
        self,
        tape: Tape,
        weight: Callable[[str], Buffer],
        gradient: Callable[[str], Buffer | None],
        keys: Callable[[Dropout], Array],
        train: bool,
    ) -> None:
        self.tape, self.weight, self.gradient, self.keys, self.train = tape, weight, gradient, keys, train
        self.backwards: list[tuple[str, Backward, list[str]]] = []

    def forward(self, layers: Named, x: Buffer) -> Buffer:
        """What the layers make of x."""
        rest = list(layers)
        while rest:
            taken = self._taken(rest, x)
            self.tape.layers = " ".join(name for name, _ in rest[:taken])
            x = self._part(rest[:taken], x)
            del rest[:taken]
        return x

    def backward(self, dy: Buffer) -> None:
        """All gradients, from that of the output, back to the first part with a parameter that is trained."""
        trained = [any(self.gradient(name) for name in names) for _, _, names in self.backwards]
        first = trained.index(True)
        for i in reversed(range(first, len(trained))):
            self.tape.layers, backward, _ = self.backwards[i]
            dy = backward(dy, i > first)

    def _taken(self, rest: Named, x: Buffer) -> int:
        """How many of the layers are recorded as one."""
        (name, layer), kinds = rest[0], [type(each) for _, each in rest[:3]]
        if isinstance(layer, Conv2d | Linear):
            fuses = kinds[0] in WITH_RELU and kinds[1:2] == [ReLU] and not self._pools(rest[1:], x.shape)
            return 1 + (fuses and self._fused(WITH_RELU[kinds[0]], x, *self._weights(name), **layer.options))
        if kinds == [ReLU, LRN, MaxPool2d] and self._fused(ops.relu_lrn_maxpool2d, x, **_pooled(rest)):
            return 3
        return 1 + (kinds[:2] == [ReLU, MaxPool2d] and self._fused(ops.relu_maxpool2d, x, **rest[1][1].options))

    def _fused(self, op: Op, *inputs: Buffer, **keywords: Any) -> bool:
        """Whether a fused operation has a kernel, and nobody asks for others of what it stands for."""
        return not asked_apart(op) and self.tape.takes(op, *inputs, **keywords)

    def _part(self, part: Named, x: Buffer) -> Buffer:
        """Record these layers as one; their output."""
        name, layer = part[0]
        if isinstance(layer, Conv2d | Linear):
            return self._product(name, layer, x, relu=len(part) > 1)
        if len(part) == 3:
            return self._unit(ops.relu_lrn_maxpool2d, x, _pooled(part))
        if len(part) == 2:
            return self._unit(ops.relu_maxpool2d, x, part[1][1].options)
        if isinstance(layer, Flatten):
            return self._flatten(x)
        if isinstance(layer, Dropout):
            if not self.train and layer.options["scale_at_train"]:
                return x
            return self._unit(layer.op, x, {**layer.options, "key": self.keys(layer), "train": self.train})
        if layer.param_specs():
            raise TypeError(f"{name}: a plan on this backend has no call for the parameters of {layer!r}")
        return self._unit(layer.op, x, layer.options)

    def _pools(self, rest: Named, shape: tuple[int, ...]) -> bool:
        """Whether the ReLU at the beginning is better left to the pooling that follows."""
        kinds = [type(each) for _, each in rest[:3]]
        return len(shape) == 4 and (kinds[:2] == [ReLU, MaxPool2d] or kinds == [ReLU, LRN, MaxPool2d])

    def _weights(self, name: str) -> tuple[Buffer, Buffer]:
        return self.weight(f"{name}.weight"), self.weight(f"{name}.bias")

    def _product(self, name: str, layer: Layer, x: Buffer, relu: bool) -> Buffer:
        """A convolution or a linear layer, with a ReLU or without."""
        (w, b), options = self._weights(name), layer.options
        op = WITH_RELU[type(layer)] if relu else layer.op
        (y,) = self.tape.call(op, x, w, b, **options)
        data, weights = (OPS[each] for each in layer.op.backward)

        def backward(dy: Buffer, need_dx: bool) -> Buffer:
            if relu:
                (dy,) = self.tape.call(ops.relu_backward, dy, y)
            out = self.gradient(f"{name}.weight"), self.gradient(f"{name}.bias")
            if out[0] and out[1]:
                self.tape.call(weights, dy, x, out=(out[0], out[1]), **_shaped(weights, options, w_shape=w.shape))
            if not need_dx:
                return dy
            return self.tape.call(data, dy, w, **_shaped(data, options, x_shape=x.shape))[0]

        self.backwards.append((self.tape.layers, backward, [f"{name}.weight", f"{name}.bias"]))
        return y

    def _unit(self, op: Op, x: Buffer, options: dict[str, Any]) -> Buffer:
        """An operation of one input without parameters; its backward is wired by name."""
        outputs = self.tape.call(op, x, **options)
        known = {"x": x, **dict(zip(op.returns, outputs, strict=True))}

        def backward(dy: Buffer, need_dx: bool) -> Buffer:
            back = OPS[op.backward[0]]
            inputs = [known.get(name, dy) for name in back.inputs]
            return self.tape.call(back, *inputs, **_shaped(back, options, x_shape=x.shape))[0]

        self.backwards.append((self.tape.layers, backward, []))
        return outputs[0]

    def _flatten(self, x: Buffer) -> Buffer:
        rows = x.shape[0], prod(x.shape[1:])
        self.backwards.append(("flatten", lambda dy, need_dx: dy.view(f"{dy.name} as images", x.shape), []))
        return x.view(f"{x.name} as rows", rows)


def _shaped(op: Op, options: dict[str, Any], **shapes: tuple[int, ...]) -> dict[str, Any]:
    """Those of the options and shapes that the operation has keywords for."""
    return {name: value for name, value in {**options, **shapes}.items() if name in op.keywords}


def _pooled(part: Named) -> dict[str, Any]:
    """The keywords of relu_lrn_maxpool2d for a ReLU, an LRN and a max-pooling layer."""
    return {**part[1][1].options, **{f"pool_{key}": value for key, value in part[2][1].options.items()}}


def asked_apart(op: Op) -> str | None:
    """What `use()` asks for of an operation that the fused `op` stands for, unless it asks for `op` itself."""
    default = default_backend()
    rest = (None, default and default.name)
    if op.asked() not in rest:
        return None
    parts = [OPS[part.name] for part in op.fuses]
    backwards = [OPS[name] for part in parts for name in part.backward] if op.backward else []
    return next((f"{each.name}={key!r}" for each in (*parts, *backwards) if (key := each.asked()) not in rest), None)
