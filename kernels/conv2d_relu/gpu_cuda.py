"""conv2d_relu in CUDA C++: conv2d's ladder, whose epilogue adds the bias and cuts off what is negative."""

from alexnet_np.ops import conv2d_relu

from ..conv2d.cuda_products import RUNGS
from ..conv2d.gpu_cuda import best, register_forward

for _name, _rung in RUNGS.items():
    register_forward(conv2d_relu, _name, _rung, relu=True)

conv2d_relu.choose("gpu_cuda")(best)
