// The linear layer's products on tensor cores, of numbers stored in bfloat16, with sums in float.
//
// Math     y = x wᵀ + b; dx = dy w; dw = dyᵀ x
// Shapes   tiles of 64 × 64 of C, 32 terms at a time, two of each in shared memory, with k side by side
// Threads  grid (⌈columns/64⌉, ⌈rows/64⌉, splits), block 128: a warp has 32 × 32 elements of C
// Traffic  half of gpu_cuda/tf32's, in loads of two bytes: the next tiles are on their way in registers
// Change   against gpu_cuda/tf32: mma.m16n8k16 does 2048 products in an instruction, on numbers half as long
#include "../cuda/bf16.cuh"
#define THREADS bf16::THREADS
#define PRODUCT bf16::product
#include "kernels.cuh"
