// What kernels in CUDA C++ share. Nothing is included from the toolkit, so that NVRTC and g++ need no path.
#pragma once
#include "bfloat16.cuh"

// Elements that one thread moves at a time: 16 bytes or more where all arrays are aligned to them.
template <class T> constexpr int EACH = sizeof(T) < 4 ? 16 / sizeof(T) : 4;
template <class T> struct alignas(16) Pack { T at[EACH<T>]; };

template <class T> __device__ __forceinline__ bool aligned(const T* p) { return ((unsigned long long)p & 15) == 0; }

__device__ __forceinline__ long long thread_number() { return blockIdx.x * (long long)blockDim.x + threadIdx.x; }

// EACH elements of p from i on, which has n; 0 behind the end.
template <class T> __device__ __forceinline__ Pack<T> load(const T* p, long long i, long long n) {
  if (i + EACH<T> <= n && aligned(p)) return *reinterpret_cast<const Pack<T>*>(p + i);
  Pack<T> pack;
#pragma unroll
  for (int j = 0; j < EACH<T>; j++) pack.at[j] = i + j < n ? p[i + j] : T(0);
  return pack;
}

template <class T> __device__ __forceinline__ void store(T* p, long long i, long long n, const Pack<T>& pack) {
  if (i + EACH<T> <= n && aligned(p)) {
    *reinterpret_cast<Pack<T>*>(p + i) = pack;
    return;
  }
#pragma unroll
  for (int j = 0; j < EACH<T>; j++)
    if (i + j < n) p[i + j] = pack.at[j];
}

struct Sum { template <class T> __device__ static T of(T a, T b) { return a + b; } };
struct Larger {  // a NaN is larger than all, as in the definitions
  template <class T> __device__ static T of(T a, T b) { return a > b || a != a ? a : b; }
};

// The fold of all lanes' values, in every lane.
template <class Fold, class T> __device__ __forceinline__ T over_warp(T v) {
#pragma unroll
  for (int bits = 16; bits; bits /= 2) v = Fold::of(v, __shfl_xor_sync(0xffffffffu, v, bits));
  return v;
}

// The fold of a block's values, in every thread. `nothing` is the value that changes no other.
template <class Fold, class T> __device__ __forceinline__ T over_block(T v, T nothing) {
  __shared__ T of_warps[32];
  v = over_warp<Fold>(v);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = v;
  __syncthreads();
  v = over_warp<Fold>(threadIdx.x % 32 < blockDim.x / 32 ? of_warps[threadIdx.x % 32] : nothing);
  __syncthreads();  // the next call writes there
  return v;
}
