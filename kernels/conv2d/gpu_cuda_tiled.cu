// conv2d as an implicit matrix product over tiles in shared memory.
//
// Math     C[m,n] = Σ_k left[m,k] · right[k,n], with right gathered from the image as it is needed (problem.cuh)
// Shapes   tiles of 16 × 16 of C, 16 terms at a time
// Threads  grid (⌈columns/16⌉, ⌈rows/16⌉, groups · splits), block 256: a thread has one element of C
// Traffic  each factor from memory once for a tile, so a sixteenth of gpu_cuda/coalesced; two from shared memory for
//          each product
// Change   against gpu_cuda/coalesced: a block loads what all its threads need once, and they take it from shared memory
#include "../cuda/tiled.cuh"
#define THREADS tiled::THREADS
#define PRODUCT tiled::product
#include "kernels.cuh"
