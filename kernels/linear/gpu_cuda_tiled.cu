// The linear layer's products over tiles in shared memory.
//
// Math     y = x wᵀ + b; dx = dy w; dw = dyᵀ x
// Shapes   tiles of 16 × 16 of C, 16 terms at a time
// Threads  grid (⌈columns/16⌉, ⌈rows/16⌉, splits), block 256: a thread has one element of C
// Traffic  each factor from memory once for a tile, so a sixteenth of one thread for each output; two from shared memory for
//          each product
// Change   against one thread for each output: a block loads what all its threads need once, and they take it from shared memory
#include "../cuda/tiled.cuh"
#define THREADS tiled::THREADS
#define PRODUCT tiled::product
#include "kernels.cuh"
