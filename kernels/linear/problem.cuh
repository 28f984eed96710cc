// The three products of a linear layer: y = x wᵀ + b, dx = dy w, dw = dyᵀ x, by strides.
#pragma once
#include "../cuda/bfloat16.cuh"

template <class T, class Y, bool LEFT, bool RIGHT> struct MatrixProduct {
  static constexpr bool LEFT_ALONG_K = LEFT, RIGHT_ALONG_K = RIGHT;  // which way neighbours in memory lie
  using Element = T;
  const T *a, *b;
  const Real<T>* bias;
  Y* c;
  int M, N, K, relu;
  struct Row { int k; };
  struct Column { int n; };

  __device__ Row row(int k) const { return {k}; }
  __device__ Column column(int n) const { return {n}; }
  __device__ const T* left(int m, const Row& k) const { return a + (LEFT ? (long long)m * K + k.k : (long long)k.k * M + m); }
  __device__ const T* right(const Row& k, const Column& n) const {
    return b + (RIGHT ? (long long)n.n * K + k.k : (long long)k.k * N + n.n);
  }
  __device__ void store(int m, int n, Real<T> sum) const {
    if (bias) sum += bias[n];  // not where the sum is but a part of one
    c[(long long)m * N + n] = Y(bias && relu && sum <= Real<T>(0) ? Real<T>(0) : sum);
  }
};
