"""The formulas of the layers as lists of terms: one file for each operation, one function for each array it makes."""

from collections.abc import Callable

from ...layers import LRN, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU, Softmax
from ..seen import Seen
from ..terms import Block, Index
from . import convolution, elementwise, linear, normalisation, pooling, softmax

Formula = Callable[[Seen, Index], list[Block]]

FORMULAS: dict[type[Layer], dict[str, Formula]] = {
    Conv2d: {
        "y": convolution.y, "dx": convolution.dx, "dweight": convolution.dweight, "dbias": convolution.dbias,
    },
    Linear: {"y": linear.y, "dx": linear.dx, "dweight": linear.dweight, "dbias": linear.dbias},
    MaxPool2d: {"y": pooling.y, "dx": pooling.dx},
    LRN: {"y": normalisation.y, "dx": normalisation.dx},
    ReLU: {"y": elementwise.relu_y, "dx": elementwise.relu_dx},
    Dropout: {"y": elementwise.dropout_y, "dx": elementwise.dropout_dx},
    Flatten: {"y": elementwise.flatten_y, "dx": elementwise.flatten_dx},
    Softmax: {"y": softmax.y, "dx": softmax.dx},
}  # fmt: skip
