// The linear layer's products on tensor cores, each factor as the sum of two TF32 numbers.
//
// Math     a · b ≈ a₁b₁ + a₁b₂ + a₂b₁ with a = a₁ + a₂ to 22 bits; y = x wᵀ + b; dx = dy w; dw = dyᵀ x
// Shapes   tiles of 64 × 64 of C, 16 terms at a time, two of each in shared memory
// Threads  grid (⌈columns/64⌉, ⌈rows/64⌉, splits), block 128: a warp has 32 × 32 elements of C
// Traffic  as gpu_cuda/buffered
// Change   against gpu_cuda/tf32: three times the products, for nearly all bits of a float: 3×TF32, a precision of its own
#include "../cuda/tensor.cuh"
#define THREADS tensor::THREADS
#define PRODUCT tensor::product<2>
#include "kernels.cuh"
