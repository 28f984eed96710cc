// A matrix product of tiles in shared memory, 4 × 4 elements of C in the registers of a thread.
#pragma once
#include "loader.cuh"

namespace registers {

constexpr int TILE = 64, DEPTH = 16, EACH = 4, THREADS = (TILE / EACH) * (TILE / EACH);

template <class T> struct alignas(16) Four { T at[EACH]; };
template <class T> using Stage = T[DEPTH][TILE + EACH];  // + EACH: rows stay aligned, and start in other banks

// sums[i][j] += Σ_k left[k][4y + i] · right[k][4x + j], with 8 loads of 16 bytes for 64 products in float.
template <class T> __device__ __forceinline__ void multiply(const Stage<T>& left, const Stage<T>& right, T (&sums)[EACH][EACH]) {
  int x = threadIdx.x % (TILE / EACH) * EACH, y = threadIdx.x / (TILE / EACH) * EACH;
#pragma unroll
  for (int k = 0; k < DEPTH; k++) {
    Four<T> a = *reinterpret_cast<const Four<T>*>(&left[k][y]), b = *reinterpret_cast<const Four<T>*>(&right[k][x]);
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
      for (int j = 0; j < EACH; j++) sums[i][j] += a.at[i] * b.at[j];
  }
}

template <class Problem, class T>
__device__ __forceinline__ void store(const Problem& problem, int m0, int n0, const T (&sums)[EACH][EACH]) {
  int x = threadIdx.x % (TILE / EACH) * EACH, y = threadIdx.x / (TILE / EACH) * EACH;
#pragma unroll
  for (int i = 0; i < EACH; i++)
#pragma unroll
    for (int j = 0; j < EACH; j++)
      if (m0 + y + i < problem.M && n0 + x + j < problem.N) problem.store(m0 + y + i, n0 + x + j, sums[i][j]);
}

// C[m,n] = Σ left[m,k] · right[k,n] for k in first … last, of the block's tile.
template <class Problem> __device__ void product(const Problem& problem, int first, int last) {
  using T = typename Problem::Element;
  __shared__ __align__(16) Stage<T> left, right;
  int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
  Loader<Problem, TILE, TILE, DEPTH, THREADS> loader(problem, m0, n0, last);
  T sums[EACH][EACH] = {};
  for (int k0 = first; k0 < last; k0 += DEPTH) {
    loader.each_left(k0, [&](int m, int k, const T* at) { left[k][m] = at ? *at : T(0); });
    loader.each_right(k0, [&](int k, int n, const T* at) { right[k][n] = at ? *at : T(0); });
    __syncthreads();
    multiply<T>(left, right, sums);
    __syncthreads();
  }
  store(problem, m0, n0, sums);
}

}  // namespace registers
