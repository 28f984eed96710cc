// The three kernels of a rung, around its product: PRODUCT(problem, first k, last k). z counts parts of the sum over k.
#pragma once
#include "problem.cuh"

__device__ __forceinline__ int split_begin(int K, int splits, int split) { return (int)((long long)K * split / splits); }

template <class Problem> __device__ __forceinline__ void part_of(Problem problem, int splits) {
  int split = blockIdx.z;
  problem.c += (long long)split * problem.M * problem.N;
  if (splits > 1) problem.bias = nullptr;
  PRODUCT(problem, split_begin(problem.K, splits, split), split_begin(problem.K, splits, split + 1));
}

template <class T, class Y>
__global__ void __launch_bounds__(THREADS, 2) forward(const T* x, const T* w, const Real<T>* b, Y* y, int N, int C, int K, int splits,
                                                      int relu) {
  part_of(MatrixProduct<T, Y, true, true>{x, w, b, y, N, K, C, relu}, splits);
}

template <class T, class Y>
__global__ void __launch_bounds__(THREADS, 2) data(const T* dy, const T* w, Y* dx, int N, int C, int K, int splits) {
  part_of(MatrixProduct<T, Y, true, false>{dy, w, nullptr, dx, N, C, K, 0}, splits);
}

template <class T>
__global__ void __launch_bounds__(THREADS, 2) weights(const T* dy, const T* x, Real<T>* dw, int N, int C, int K, int splits) {
  part_of(MatrixProduct<T, Real<T>, false, false>{dy, x, nullptr, dw, K, C, N, 0}, splits);
}
