// The three kernels of a rung, around its product: PRODUCT<problem>(problem, first k, last k).
//
// Y is what is written: T, or what T is summed in where it is a part of a sum. With more than one split, z counts parts of the sum over k as well, each with an output of its own (no bias), which
// `sum_splits` adds in order: the same sum each time.
#pragma once
#include "problem.cuh"

__device__ __forceinline__ int split_begin(int K, int splits, int split) { return (int)((long long)K * split / splits); }

template <class T, class Y>
__global__ void __launch_bounds__(THREADS, 2) forward(const T* x, const T* w, const Real<T>* b, Y* y, Conv s) {
  Part part(s.splits);
  long long size = (long long)s.N * s.K * s.P * s.Q;
  Forward<T, Y> problem(s, x, w, s.splits > 1 ? nullptr : b, y + part.split * size, part.group);
  PRODUCT(problem, split_begin(problem.K, s.splits, part.split), split_begin(problem.K, s.splits, part.split + 1));
}

template <class T, class Y>
__global__ void __launch_bounds__(THREADS, 2) data(const T* dy, const T* w, Y* dx, Conv s) {
  Part part(s.splits);
  Data<T, Y> problem(s, dy, w, dx + part.split * ((long long)s.N * s.C * s.H * s.W), part.group);
  PRODUCT(problem, split_begin(problem.K, s.splits, part.split), split_begin(problem.K, s.splits, part.split + 1));
}

template <class T>
__global__ void __launch_bounds__(THREADS, 2) weights(const T* dy, const T* x, Real<T>* dw, Conv s) {
  Part part(s.splits);
  Weights<T> problem(s, dy, x, dw + part.split * ((long long)s.K * (s.C / s.groups) * s.R * s.S), part.group);
  PRODUCT(problem, split_begin(problem.K, s.splits, part.split), split_begin(problem.K, s.splits, part.split + 1));
}
