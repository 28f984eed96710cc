// conv2d as an implicit matrix product, 4 × 4 outputs in the registers of a thread.
//
// Math     C[m,n] = Σ_k left[m,k] · right[k,n], with right gathered from the image as it is needed (problem.cuh)
// Shapes   tiles of 64 × 64 of C, 16 terms at a time
// Threads  grid (⌈columns/64⌉, ⌈rows/64⌉, groups · splits), block 256: a thread has 4 × 4 elements of C
// Traffic  each factor from memory once for a tile of 64; 16-byte loads from shared memory, two for 16 products
// Change   against gpu_cuda/tiled: half a load from shared memory for a product in place of two, of which it is full
#include "../cuda/registers.cuh"
#define THREADS registers::THREADS
#define PRODUCT registers::product
#include "kernels.cuh"
