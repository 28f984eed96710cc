"""linear_relu in CUDA C++: linear's ladder, whose epilogue adds the bias and cuts off what is negative."""

from alexnet_np.ops import linear_relu

from ..linear.gpu_cuda import RUNGS, best, register_forward

for _name, _rung in RUNGS.items():
    register_forward(linear_relu, _name, _rung, relu=True)

linear_relu.choose("gpu_cuda")(best)
