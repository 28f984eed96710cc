"""The stages that a plan takes on the CPU, in place of layer by layer."""

from typing import Any

from alexnet_np.dispatch import OPS, Op
from alexnet_np.layers import LRN, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU
from alexnet_np.ops import conv2d, dropout, linear, lrn, maxpool2d, relu, sgd_momentum_
from alexnet_np.plan.arena import Buffer
from alexnet_np.plan.stage import Stage

from .convolution import Convolution
from .few import Few
from .geometry import geometry
from .linear import LinearStage
from .tails import tail
from .to_first import ToFirst

__all__ = ["Few", "stage"]


def stage(rest: list[tuple[str, Layer]], x: Buffer, sgd: Any) -> Stage | None:
    """The stage that does the work of the first of the layers `rest`, and of some behind it; None where there is none.

    Only where nobody asks for other kernels: a choice by `use()` of another backend, or of a rung, is respected.
    """
    if rest and isinstance(rest[0][1], Conv2d) and _wanted(conv2d):
        conv = rest[0][1]
        form = geometry(conv, x, trains=sgd is not None)
        if form is not None:
            layers, at = dict(rest[:1]), form.y
            if len(rest) > 1 and isinstance(rest[1][1], ReLU) and _wanted(relu):
                layers |= dict(rest[1:2])
            for name, layer in rest[len(layers) :]:
                op = maxpool2d if isinstance(layer, MaxPool2d) else lrn
                made = tail(layer, at, form.vector, x.dtype, False)
                if made is None or not isinstance(layer, MaxPool2d | LRN) or not _wanted(op):
                    break
                layers[name] = layer
                at = made.y
            return Convolution(layers, x, sgd, form)
    if x.layout == "last":
        flatten = dict(rest[:1]) if rest and isinstance(rest[0][1], Flatten) else {}
        return ToFirst(flatten, x, sgd)
    if rest and isinstance(rest[0][1], Linear) and _wanted(linear) and _wanted(sgd_momentum_):
        return LinearStage(_with_what_follows(rest) if sgd is None else dict(rest[:1]), x, sgd)
    return None


def _with_what_follows(rest: list[tuple[str, Layer]]) -> dict[str, Layer]:
    """The first of the layers, and the ReLU and the dropout behind it."""
    taken = 1
    for kind, op in ((ReLU, relu), (Dropout, dropout)):
        if len(rest) > taken and isinstance(rest[taken][1], kind) and _wanted(op):
            taken += 1
    return dict(rest[:taken])


def _wanted(op: Op) -> bool:
    """Whether nobody asks for other kernels of the operation, or of its backwards, than this backend's own choice."""
    return all(each.asked() in (None, "cpu_numba") for each in (op, *(OPS[name] for name in op.backward)))
