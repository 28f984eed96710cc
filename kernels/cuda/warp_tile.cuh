// The 32 × 32 elements of C that a warp has, as 2 × 4 tiles of mma.m16n8: lane 4·g + t has d[e] at row g + 8·⌊e/2⌋,
// column 2·t + e mod 2 of each.
#pragma once

constexpr int WARP_TILE = 32;
using WarpTile = float[2][4][4];

template <class Problem> __device__ __forceinline__ void store_warp(const Problem& problem, int m0, int n0, const WarpTile& sums) {
  int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int i = 0; i < 2; i++)
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int m = m0 + 16 * i + g + e / 2 * 8, n = n0 + 8 * j + 2 * t + e % 2;
        if (m < problem.M && n < problem.N) problem.store(m, n, sums[i][j][e]);
      }
}
