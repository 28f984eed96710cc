// s^(−β): by two square roots where β is 3/4, as in every AlexNet.
#pragma once

__device__ __forceinline__ float square_root(float x) { return sqrtf(x); }
__device__ __forceinline__ double square_root(double x) { return sqrt(x); }
__device__ __forceinline__ float raised(float x, float to) { return powf(x, to); }
__device__ __forceinline__ double raised(double x, double to) { return pow(x, to); }

template <class T> __device__ __forceinline__ T inverse_power(T s, T beta) {
  if (beta != T(0.75)) return raised(s, -beta);
  T root = square_root(s);
  return T(1) / (root * square_root(root));
}
