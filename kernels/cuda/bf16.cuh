// A matrix product on tensor cores of numbers stored in bfloat16: each warp has 32 × 32 elements of C as mma.m16n8k16.
#pragma once
#include "bfloat16.cuh"
#include "loader.cuh"
#include "warp_tile.cuh"

namespace bf16 {

constexpr int TILE = 64, DEPTH = 32, THREADS = 128;
constexpr int EACH = TILE * DEPTH / THREADS;  // of a tile's elements for a thread
// k side by side, since a register holds two of them; + 8: the eight rows of a fragment lie in 32 banks.
using Stage = bfloat16[TILE][DEPTH + 8];

__device__ __forceinline__ unsigned two(const bfloat16* p) { return *reinterpret_cast<const unsigned*>(p); }

// C[m,n] = Σ left[m,k] · right[k,n] for k in first … last, of the block's tile. The next tiles wait in registers: an
// asynchronous copy takes four bytes at least, and neighbours in memory are seldom neighbours along k.
template <class Problem> __device__ void product(const Problem& problem, int first, int last) {
  __shared__ __align__(16) Stage left[2], right[2];
  int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
  int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  int m1 = warp / 2 * WARP_TILE, n1 = warp % 2 * WARP_TILE;  // the warp's part of the tile
  Loader<Problem, TILE, TILE, DEPTH, THREADS> loader(problem, m0, n0, last);
  WarpTile sums = {};
  bfloat16 lefts[EACH], rights[EACH];
  auto fetch = [&](int k0) {
    int i = 0, j = 0;
    loader.each_left(k0, [&](int, int, const bfloat16* at) { lefts[i++] = at ? *at : bfloat16(0); });
    loader.each_right(k0, [&](int, int, const bfloat16* at) { rights[j++] = at ? *at : bfloat16(0); });
  };
  auto put = [&](int stage) {
#pragma unroll
    for (int i = 0; i < EACH; i++) left[stage][loader.left_m(i)][loader.left_k(i)] = lefts[i];
#pragma unroll
    for (int i = 0; i < EACH; i++) right[stage][loader.right_n(i)][loader.right_k(i)] = rights[i];
  };
  fetch(first);
  put(0);
  __syncthreads();
  for (int k0 = first, stage = 0; k0 < last; k0 += DEPTH, stage ^= 1) {
    bool more = k0 + DEPTH < last;
    if (more) fetch(k0 + DEPTH);
#pragma unroll
    for (int k = 2 * t; k < DEPTH; k += 16) {
      unsigned a[2][4], b[4][2];
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) a[i][j] = two(&left[stage][m1 + 16 * i + g + j % 2 * 8][k + j / 2 * 8]);
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 2; j++) b[i][j] = two(&right[stage][n1 + 8 * i + g][k + 8 * j]);
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) mma_bf16(sums[i][j], a[i], b[j]);
    }
    if (more) put(stage ^ 1);  // which nobody has read since the last barrier
    __syncthreads();
  }
  store_warp(problem, m0 + m1, n0 + n1, sums);
}

}  // namespace bf16
