// A matrix product of tiles in shared memory, an element of C for each thread. A problem says where its factors lie.
#pragma once

namespace tiled {

constexpr int TILE = 16, THREADS = TILE * TILE;

// C[m,n] = Σ left[m,k] · right[k,n] for k in first … last, of the block's tile.
template <class Problem> __device__ void product(const Problem& problem, int first, int last) {
  using T = typename Problem::Element;
  __shared__ T left[TILE][TILE + 1], right[TILE][TILE + 1];  // + 1: a column lies in as many banks as it has elements
  int x = threadIdx.x % TILE, y = threadIdx.x / TILE;
  int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
  // Neighbouring threads load what lies side by side in memory.
  int left_m = Problem::LEFT_ALONG_K ? y : x, left_k = Problem::LEFT_ALONG_K ? x : y;
  int right_n = Problem::RIGHT_ALONG_K ? y : x, right_k = Problem::RIGHT_ALONG_K ? x : y;
  auto column = problem.column(min(n0 + right_n, problem.N - 1));
  T sum = T(0);
  for (int k0 = first; k0 < last; k0 += TILE) {
    bool there = m0 + left_m < problem.M && k0 + left_k < last;
    left[left_m][left_k] = there ? *problem.left(m0 + left_m, problem.row(k0 + left_k)) : T(0);
    there = n0 + right_n < problem.N && k0 + right_k < last;
    const T* at = there ? problem.right(problem.row(k0 + right_k), column) : nullptr;
    right[right_k][right_n] = at ? *at : T(0);
    __syncthreads();
    T part = T(0);  // sums of sums round less than one long chain
#pragma unroll
    for (int k = 0; k < TILE; k++) part += left[y][k] * right[k][x];
    sum += part;
    __syncthreads();
  }
  if (m0 + y < problem.M && n0 + x < problem.N) problem.store(m0 + y, n0 + x, sum);
}

}  // namespace tiled
