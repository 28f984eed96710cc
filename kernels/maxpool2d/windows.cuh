// The windows of max-pooling: the winner of one, and the gradient that comes back to an element.
#pragma once
#include "../cuda/common.cuh"

struct Windows { int H, W, P, Q, R, S, down, across, top, left; };

// 0 for what is not positive, so that NaN stays.
template <class R> __device__ __forceinline__ R positive(R x) { return x <= R(0) ? R(0) : x; }

template <class T> struct Winner { T value; int index; };

// The first of the largest elements of window (p, q), a NaN above all. `at(place)` is the plane's element there.
template <class T, class At> __device__ __forceinline__ Winner<T> winner_of(int p, int q, const Windows& of, At at) {
  int h0 = p * of.down - of.top, w0 = q * of.across - of.left;
  int best = max(h0, 0) * of.W + max(w0, 0);
  T largest = at(best);
  for (int h = max(h0, 0); h < min(h0 + of.R, of.H); h++)
    for (int w = max(w0, 0); w < min(w0 + of.S, of.W); w++) {
      T value = at(h * of.W + w);
      if (value > largest || (value != value && largest == largest)) {
        largest = value;
        best = h * of.W + w;
      }
    }
  return {largest, best};
}

// The windows that hold element (h, w): window p covers p·down − top … + R − 1; the first that reaches h, and the last.
struct Holders {
  int p0, p1, q0, q1, here;
  __device__ Holders(int h, int w, const Windows& of)
      : p0(max(h + of.top - of.R + of.down, 0) / of.down), p1(min((h + of.top) / of.down, of.P - 1)),
        q0(max(w + of.left - of.S + of.across, 0) / of.across), q1(min((w + of.left) / of.across, of.Q - 1)),
        here(h * of.W + w) {}
};

// The sum of dy over those that it won. y, unless null: only where that is positive.
template <class T>
__device__ __forceinline__ Real<T> gathered(const T* dy, const T* y, const int* index, const Holders& of, int Q) {
  Real<T> sum = 0;
  for (int p = of.p0; p <= of.p1; p++)
    for (int q = of.q0; q <= of.q1; q++) {
      int o = p * Q + q;
      if (index[o] == of.here && (!y || y[o] > T(0))) sum += Real<T>(dy[o]);
    }
  return sum;
}
