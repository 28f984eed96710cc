"""What each operation is: one file each, the forward right above the backward."""

from . import checks, windows
from .conv2d import conv2d, conv2d_backward, conv2d_backward_data, conv2d_backward_weights
from .dropout import dropout, dropout_backward
from .im2col import col2im, im2col
from .linear import linear, linear_backward, linear_backward_data, linear_backward_weights
from .lrn import lrn, lrn_backward
from .maxpool2d import maxpool2d, maxpool2d_backward
from .relu import relu, relu_backward
from .sgd_momentum import sgd_momentum_
from .softmax import softmax, softmax_backward
from .softmax_cross_entropy import softmax_cross_entropy, softmax_cross_entropy_backward

__all__ = [
    "checks",
    "col2im",
    "conv2d",
    "conv2d_backward",
    "conv2d_backward_data",
    "conv2d_backward_weights",
    "dropout",
    "dropout_backward",
    "im2col",
    "linear",
    "linear_backward",
    "linear_backward_data",
    "linear_backward_weights",
    "lrn",
    "lrn_backward",
    "maxpool2d",
    "maxpool2d_backward",
    "relu",
    "relu_backward",
    "sgd_momentum_",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "windows",
]
