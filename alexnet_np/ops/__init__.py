"""What each operation is: one file each, the forward right above the backward."""

from . import checks, windows
from .cast import cast
from .conv2d import conv2d, conv2d_backward, conv2d_backward_data, conv2d_backward_weights
from .dropout import dropout, dropout_backward
from .fused import (
    conv2d_relu,
    linear_relu,
    relu_lrn_maxpool2d,
    relu_lrn_maxpool2d_backward,
    relu_maxpool2d,
    relu_maxpool2d_backward,
    softmax_cross_entropy_with_gradient,
)
from .im2col import col2im, im2col
from .linear import linear, linear_backward, linear_backward_data, linear_backward_weights
from .lrn import lrn, lrn_backward
from .maxpool2d import maxpool2d, maxpool2d_backward
from .relu import relu, relu_backward
from .sgd_momentum import sgd_momentum_
from .sgd_momentum_flat import sgd_momentum_flat_, sgd_momentum_mixed_
from .softmax import softmax, softmax_backward
from .softmax_cross_entropy import softmax_cross_entropy, softmax_cross_entropy_backward

__all__ = [
    "cast",
    "checks",
    "col2im",
    "conv2d",
    "conv2d_backward",
    "conv2d_backward_data",
    "conv2d_backward_weights",
    "conv2d_relu",
    "dropout",
    "dropout_backward",
    "im2col",
    "linear",
    "linear_backward",
    "linear_backward_data",
    "linear_backward_weights",
    "linear_relu",
    "lrn",
    "lrn_backward",
    "maxpool2d",
    "maxpool2d_backward",
    "relu",
    "relu_backward",
    "relu_lrn_maxpool2d",
    "relu_lrn_maxpool2d_backward",
    "relu_maxpool2d",
    "relu_maxpool2d_backward",
    "sgd_momentum_",
    "sgd_momentum_flat_",
    "sgd_momentum_mixed_",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_with_gradient",
    "windows",
]
