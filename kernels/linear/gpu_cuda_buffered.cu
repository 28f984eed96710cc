// The linear layer's products with the next tiles on their way while the present ones are multiplied.
//
// Math     y = x wᵀ + b; dx = dy w; dw = dyᵀ x
// Shapes   tiles of 64 × 64 of C, 16 terms at a time, two of each in shared memory
// Threads  grid (⌈columns/64⌉, ⌈rows/64⌉, splits), block 256: a thread has 4 × 4 elements of C
// Traffic  as gpu_cuda/registers, without a stop in registers: cp.async writes to shared memory, zeros for the padding
// Change   against gpu_cuda/registers: nobody waits for memory while there are products to do
#include "../cuda/buffered.cuh"
#define THREADS buffered::THREADS
#define PRODUCT buffered::product
#include "kernels.cuh"
