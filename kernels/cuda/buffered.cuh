// A matrix product whose next tiles are copied into shared memory while the present ones are multiplied.
#pragma once
#include "loader.cuh"
#include "registers.cuh"
#include "tensorcore.cuh"

namespace buffered {

using registers::DEPTH;
using registers::EACH;
using registers::Stage;
using registers::THREADS;
using registers::TILE;

// C[m,n] = Σ left[m,k] · right[k,n] for k in first … last, of the block's tile.
template <class Problem> __device__ void product(const Problem& problem, int first, int last) {
  using T = typename Problem::Element;
  __shared__ __align__(16) Stage<T> left[2], right[2];
  int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
  Loader<Problem, TILE, TILE, DEPTH, THREADS> loader(problem, m0, n0, last);
  T sums[EACH][EACH] = {};
  auto fetch = [&](int k0, int stage) {
    loader.each_left(k0, [&](int m, int k, const T* at) { copy_async(&left[stage][k][m], at); });
    loader.each_right(k0, [&](int k, int n, const T* at) { copy_async(&right[stage][k][n], at); });
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
    registers::multiply<T>(left[stage], right[stage], sums);
    __syncthreads();
  }
  registers::store(problem, m0, n0, sums);
}

}  // namespace buffered
