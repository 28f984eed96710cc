// How a block's threads share the loads of a tile: each has the same few places of it in every step over k.
#pragma once

// `left` tile: ROWS × DEPTH, `right` tile: DEPTH × COLUMNS; a thread has every THREADS-th element, counted along the
// direction in which neighbours lie in memory.
template <class Problem, int ROWS, int COLUMNS, int DEPTH, int THREADS> struct Loader {
  static constexpr int LEFTS = ROWS * DEPTH / THREADS, RIGHTS = DEPTH * COLUMNS / THREADS;
  const Problem& problem;
  int m0, n0, last;
  typename Problem::Column columns[Problem::RIGHT_ALONG_K ? RIGHTS : 1];

  __device__ Loader(const Problem& problem, int m0, int n0, int last) : problem(problem), m0(m0), n0(n0), last(last) {
    static_assert(ROWS * DEPTH % THREADS == 0 && DEPTH * COLUMNS % THREADS == 0, "a tile is shared without a rest");
    static_assert(THREADS % DEPTH == 0 && THREADS % ROWS == 0 && THREADS % COLUMNS == 0, "a thread keeps its k, m or n");
#pragma unroll
    for (int i = 0; i < (Problem::RIGHT_ALONG_K ? RIGHTS : 1); i++) columns[i] = problem.column(min(n0 + right_n(i), problem.N - 1));
  }

  __device__ int left_m(int i) const {
    return Problem::LEFT_ALONG_K ? threadIdx.x / DEPTH + i * (THREADS / DEPTH) : threadIdx.x % ROWS;
  }
  __device__ int left_k(int i) const {
    return Problem::LEFT_ALONG_K ? threadIdx.x % DEPTH : threadIdx.x / ROWS + i * (THREADS / ROWS);
  }
  __device__ int right_n(int i) const {
    return Problem::RIGHT_ALONG_K ? threadIdx.x / DEPTH + i * (THREADS / DEPTH) : threadIdx.x % COLUMNS;
  }
  __device__ int right_k(int i) const {
    return Problem::RIGHT_ALONG_K ? threadIdx.x % DEPTH : threadIdx.x / COLUMNS + i * (THREADS / COLUMNS);
  }

  // put(m, k, address) for each of the thread's elements of the left tile of terms k0 …; null for a zero.
  template <class Put> __device__ void each_left(int k0, Put put) const {
    auto row = problem.row(min(k0 + left_k(0), last - 1));
#pragma unroll
    for (int i = 0; i < LEFTS; i++) {
      int m = left_m(i), k = left_k(i);
      if (!Problem::LEFT_ALONG_K && i) row = problem.row(min(k0 + k, last - 1));
      put(m, k, m0 + m < problem.M && k0 + k < last ? problem.left(m0 + m, row) : nullptr);
    }
  }

  // put(k, n, address) for each of the thread's elements of the right tile.
  template <class Put> __device__ void each_right(int k0, Put put) const {
    auto row = problem.row(min(k0 + right_k(0), last - 1));
#pragma unroll
    for (int i = 0; i < RIGHTS; i++) {
      int n = right_n(i), k = right_k(i);
      if (!Problem::RIGHT_ALONG_K && i) row = problem.row(min(k0 + k, last - 1));
      bool there = n0 + n < problem.N && k0 + k < last;
      put(k, n, there ? problem.right(row, columns[Problem::RIGHT_ALONG_K ? i : 0]) : nullptr);
    }
  }
};
