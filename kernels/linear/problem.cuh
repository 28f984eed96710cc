// The three products of a linear layer: y = x wᵀ + b, dx = dy w, dw = dyᵀ x, by strides.
#pragma once

template <class T, bool LEFT, bool RIGHT> struct MatrixProduct {
  static constexpr bool LEFT_ALONG_K = LEFT, RIGHT_ALONG_K = RIGHT;  // which way neighbours in memory lie
  using Element = T;
  const T *a, *b, *bias;
  T* c;
  int M, N, K;
  struct Row { int k; };
  struct Column { int n; };

  __device__ Row row(int k) const { return {k}; }
  __device__ Column column(int n) const { return {n}; }
  __device__ const T* left(int m, const Row& k) const { return a + (LEFT ? (long long)m * K + k.k : (long long)k.k * M + m); }
  __device__ const T* right(const Row& k, const Column& n) const {
    return b + (RIGHT ? (long long)n.n * K + k.k : (long long)k.k * N + n.n);
  }
  __device__ void store(int m, int n, T sum) const { c[(long long)m * N + n] = bias ? sum + bias[n] : sum; }
};
