// conv2d from its formula: a thread for each output, neighbours side by side in memory.
//
// Math     as gpu_cuda/naive
// Shapes   as the operation; for one group a product of matrices (problem.cuh)
// Threads  grid (⌈columns/128⌉, rows, groups), block 128: a thread has one element, a warp 32 neighbours of a row
// Traffic  every factor from the caches for each product; a warp reads 32 neighbouring pixels in one or two lines, the
//          weight once for all, and writes one line
// Change   against gpu_cuda/naive: only which thread has which output; the memory moves whole lines in place of words
#define THREADS 128
#define PRODUCT coalesced

template <class Problem> __device__ void coalesced(const Problem& problem, int first, int last);
#include "kernels.cuh"

template <class Problem> __device__ void coalesced(const Problem& problem, int first, int last) {
  using T = typename Problem::Element;
  int n = blockIdx.x * THREADS + threadIdx.x;
  if (n >= problem.N) return;
  auto column = problem.column(n);
  for (int m = blockIdx.y; m < problem.M; m += gridDim.y) {
    T sum = T(0);
    for (int k = first; k < last; k++) {
      auto row = problem.row(k);
      if (const T* right = problem.right(row, column)) sum += *problem.left(m, row) * *right;
    }
    problem.store(m, n, sum);
  }
}
