// conv2d as an implicit matrix product, with the next tiles on their way while the present ones are multiplied.
//
// Math     C[m,n] = Σ_k left[m,k] · right[k,n], with right gathered from the image as it is needed (problem.cuh)
// Shapes   tiles of 64 × 64 of C, 16 terms at a time, two of each in shared memory
// Threads  grid (⌈columns/64⌉, ⌈rows/64⌉, groups · splits), block 256: a thread has 4 × 4 elements of C
// Traffic  as gpu_cuda/registers, without a stop in registers: cp.async writes to shared memory, zeros for the padding
// Change   against gpu_cuda/registers: nobody waits for memory while there are products to do
#include "../cuda/buffered.cuh"
#define THREADS buffered::THREADS
#define PRODUCT buffered::product
#include "kernels.cuh"
