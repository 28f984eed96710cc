// The linear layer's products with 4 × 4 outputs in the registers of a thread.
//
// Math     y = x wᵀ + b; dx = dy w; dw = dyᵀ x
// Shapes   tiles of 64 × 64 of C, 16 terms at a time
// Threads  grid (⌈columns/64⌉, ⌈rows/64⌉, splits), block 256: a thread has 4 × 4 elements of C
// Traffic  each factor from memory once for a tile of 64; 16-byte loads from shared memory, two for 16 products
// Change   against gpu_cuda/tiled: half a load from shared memory for a product in place of two, of which it is full
#include "../cuda/registers.cuh"
#define THREADS registers::THREADS
#define PRODUCT registers::product
#include "kernels.cuh"
