// Kernels that are wrong on purpose, one fault each; test_emulator.py says which. And one that is right.
#include "../kernels/cuda/tensorcore.cuh"

template <int N> __device__ float turned(float value, bool wait) {  // shared memory of a template
  __shared__ float s[N];
  s[threadIdx.x] = value;
  if (wait) __syncthreads();
  return s[N - 1 - threadIdx.x];
}

extern "C" __global__ void right(const float* x, float* y, int n) {
  int i = blockIdx.x * 64 + threadIdx.x;
  float value = turned<64>(i < n ? x[i] : 0.f, true);
  if (i < n) y[i] = value;
}

extern "C" __global__ void missing_barrier(const float* x, float* y, int n) { y[threadIdx.x] = turned<64>(x[threadIdx.x], false); }

extern "C" __global__ void divergent_barrier(const float* x, float* y, int n) {
  if (threadIdx.x < 32) {
    y[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
  } else {
    __syncthreads();
  }
}

extern "C" __global__ void foreign_mask(const float* x, float* y, int n) {
  if (threadIdx.x == 3) y[0] = __shfl_sync(0x1u, x[0], 0);
}

extern "C" __global__ void lanes_that_left(const float* x, float* y, int n) {
  if (threadIdx.x >= 16) return;
  y[threadIdx.x] = __shfl_down_sync(0xffffffffu, x[threadIdx.x], 1);
}

extern "C" __global__ void lane_outside_the_mask(const float* x, float* y, int n) {
  if (threadIdx.x < 4) y[threadIdx.x] = __shfl_sync(0xfu, x[threadIdx.x], 7);
}

extern "C" __global__ void divergent_warp(const float* x, float* y, int n) {
  if (threadIdx.x % 2) y[threadIdx.x] = __shfl_sync(0xffffffffu, x[0], 0);
  else y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[0], 1);
}

extern "C" __global__ void deadlock(const float* x, float* y, int n) {
  if (threadIdx.x == 0) y[0] = __shfl_sync(0x3u, x[0], 0);
  else __syncthreads();
}

extern "C" __global__ void reads_beyond(const float* x, float* y, int n) { y[threadIdx.x] = x[threadIdx.x + n - 63]; }

extern "C" __global__ void reads_before(const float* x, float* y, int n) { y[threadIdx.x] = x[(int)threadIdx.x - 1]; }

extern "C" __global__ void writes_beyond(const float* x, float* y, int n) { y[threadIdx.x + n - 63] = x[0]; }

extern "C" __global__ void writes_before(const float* x, float* y, int n) { y[(int)threadIdx.x - 1] = x[0]; }

extern "C" __global__ void writes_to_its_input(const float* x, float* y, int n) { const_cast<float*>(x)[threadIdx.x] = y[0]; }

extern "C" __global__ void dynamic_beyond(const float* x, float* y, int n) {
  extern __shared__ float room[];
  room[threadIdx.x + 1] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = room[threadIdx.x];
}

extern "C" __global__ void race(const float* x, float* y, int n) {  // whoever comes last wins
  __shared__ int last;
  last = threadIdx.x;
  __syncthreads();
  y[threadIdx.x] = last;
}

extern "C" __global__ void blocks_in_order(const float* x, float* y, int n) {  // a block relies on the one before
  if (threadIdx.x == 0) y[0] = y[0] * 2 + blockIdx.x;
}

extern "C" __global__ void missing_wait(const float* x, float* y, int n) {
  __shared__ float s[64];
  copy_async(&s[threadIdx.x], x + threadIdx.x);
  commit_copies();
  y[threadIdx.x] = s[threadIdx.x];
  wait_for_copies<0>();
}

extern "C" __global__ void never_waited(const float* x, float* y, int n) {
  __shared__ float s[64];
  copy_async(&s[threadIdx.x], x + threadIdx.x);
  commit_copies();
}

extern "C" __global__ void waits_for_too_few(const float* x, float* y, int n) {
  __shared__ float s[2][64];
  copy_async(&s[0][threadIdx.x], x + threadIdx.x);
  commit_copies();
  copy_async(&s[1][threadIdx.x], x + threadIdx.x);
  commit_copies();
  wait_for_copies<1>();
  __syncthreads();
  y[threadIdx.x] = s[1][63 - threadIdx.x];
  wait_for_copies<0>();
}

extern "C" __global__ void misaligned_copy(const float* x, float* y, int n) {
  __shared__ double s[64];
  copy_async(&s[threadIdx.x], reinterpret_cast<const double*>(x + 1));
  commit_copies();
  wait_for_copies<0>();
}
