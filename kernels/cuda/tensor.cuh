// A matrix product on tensor cores: each warp has 32 × 32 elements of C as eight tiles of mma.m16n8k8.
#pragma once
#include "loader.cuh"
#include "tensorcore.cuh"
#include "warp_tile.cuh"

namespace tensor {

constexpr int TILE = 64, DEPTH = 16, THREADS = 128;
using Stage = float[DEPTH][TILE + 8];  // + 8: the four k and eight m of a fragment lie in 32 banks

// A number as one TF32, or as the sum of two.
template <int TERMS> struct Split {
  unsigned at[TERMS];
  __device__ Split() {}
  __device__ explicit Split(float x) {
    at[0] = to_tf32(x);
    if (TERMS > 1) at[TERMS - 1] = to_tf32(x - __uint_as_float(at[0]));
  }
};

// d += a · b of two fragments, in one product or in three: all but the one of the two small terms, the large one last.
template <int TERMS>
__device__ __forceinline__ void multiply(float (&d)[4], const Split<TERMS> (&a)[4], const Split<TERMS> (&b)[2]) {
#pragma unroll
  for (int term = TERMS * TERMS - TERMS; term >= 0; term--) {  // 2, 1, 0 of (a's, b's): (1, 0), (0, 1), (0, 0)
    int of_a = term / 2, of_b = term % 2;
    unsigned left[4] = {a[0].at[of_a], a[1].at[of_a], a[2].at[of_a], a[3].at[of_a]};
    unsigned right[2] = {b[0].at[of_b], b[1].at[of_b]};
    mma_tf32(d, left, right);
  }
}

// C[m,n] = Σ left[m,k] · right[k,n] for k in first … last, of the block's tile; each factor as TERMS numbers of TF32.
template <int TERMS, class Problem> __device__ void product(const Problem& problem, int first, int last) {
  __shared__ __align__(16) Stage left[2], right[2];
  int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
  int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  int m1 = warp / 2 * WARP_TILE, n1 = warp % 2 * WARP_TILE;  // the warp's part of the tile
  Loader<Problem, TILE, TILE, DEPTH, THREADS> loader(problem, m0, n0, last);
  WarpTile sums = {};
  auto fetch = [&](int k0, int stage) {
    loader.each_left(k0, [&](int m, int k, const float* at) { copy_async(&left[stage][k][m], at); });
    loader.each_right(k0, [&](int k, int n, const float* at) { copy_async(&right[stage][k][n], at); });
    commit_copies();
  };
  fetch(first, 0);
  for (int k0 = first, stage = 0; k0 < last; k0 += DEPTH, stage ^= 1) {
    if (k0 + DEPTH < last) {
      fetch(k0 + DEPTH, stage ^ 1);
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < DEPTH; k += 8) {
      Split<TERMS> a[2][4], b[4][2];
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) a[i][j] = Split<TERMS>(left[stage][k + t + j / 2 * 4][m1 + 16 * i + g + j % 2 * 8]);
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 2; j++) b[i][j] = Split<TERMS>(right[stage][k + t + 4 * j][n1 + 8 * i + g]);
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) multiply<TERMS>(sums[i][j], a[i], b[j]);
    }
    __syncthreads();
  }
  store_warp(problem, m0 + m1, n0 + n1, sums);
}

}  // namespace tensor
