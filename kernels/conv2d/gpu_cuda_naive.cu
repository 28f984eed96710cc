// conv2d from its formula: a thread for each output, neighbours in different channels.
//
// Math     y[n,k,p,q] = b[k] + Σ_{c,r,s} w[k,c,r,s] · x̂[n, c, p·stride + r, q·stride + s]; the backwards alike
// Shapes   as the operation; for one group a product of matrices (problem.cuh)
// Threads  grid (⌈rows/64⌉, columns, groups), block 64: a thread has one element, neighbours in a warp one row each
// Traffic  every factor from the caches or memory for each product, and a warp's results go to 32 lines
// Change   against the definition: all outputs at once
#define THREADS 64
#define PRODUCT naive

template <class Problem> __device__ void naive(const Problem& problem, int first, int last);
#include "kernels.cuh"

template <class Problem> __device__ void naive(const Problem& problem, int first, int last) {
  using T = typename Problem::Element;
  int m = blockIdx.x * THREADS + threadIdx.x;
  if (m >= problem.M) return;
  for (int n = blockIdx.y; n < problem.N; n += gridDim.y) {
    auto column = problem.column(n);
    T sum = T(0);
    for (int k = first; k < last; k++) {
      auto row = problem.row(k);
      if (const T* right = problem.right(row, column)) sum += *problem.left(m, row) * *right;
    }
    problem.store(m, n, sum);
  }
}
