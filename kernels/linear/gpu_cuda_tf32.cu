// The linear layer's products on tensor cores, in TF32: factors of 10 bits, sums in float.
//
// Math     y = x wᵀ + b; dx = dy w; dw = dyᵀ x
// Shapes   tiles of 64 × 64 of C, 16 terms at a time, two of each in shared memory
// Threads  grid (⌈columns/64⌉, ⌈rows/64⌉, splits), block 128: a warp has 32 × 32 elements of C
// Traffic  as gpu_cuda/buffered
// Change   against gpu_cuda/buffered: mma.m16n8k8 does 1024 products in an instruction of a warp; a thousandth of each
//          factor is lost, which is a precision of its own
#include "../cuda/tensor.cuh"
#define THREADS tensor::THREADS
#define PRODUCT tensor::product<1>
#include "kernels.cuh"
