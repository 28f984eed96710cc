// Local response normalisation as its formula stands: a thread for each element.
//
// Math     s[c] = k + a · Σ_window x²;  y[c] = x[c] · s[c]^(−β)
//          dx[c] = dy[c] · s[c]^(−β) − 2aβ · x[c] · Σ_window dy[j] · x[j] · s[j]^(−β−1)
// Shapes   x, y, s, dy, dx (N, C, pixels); the window is cut at the ends of a group
// Threads  grid ⌈elements/256⌉, block 256; neighbours are neighbouring pixels
// Traffic  each array once from memory; `size` times from the caches
// Change   against the definition: all elements at once, any size of the window
#include "../cuda/common.cuh"
#include "power.cuh"

struct Place {  // of an element: its channel, and the window's
  int c, low, high;
  __device__ Place(long long i, int C, int pixels, int groups, int size) {
    c = i / pixels % C;
    int width = C / groups, first = c / width * width;
    low = max(c - size / 2, first);
    high = min(c + size / 2 + 1, first + width);
  }
};

template <class T>
__global__ void lrn_plain(const T* x, T* y, Real<T>* scale, long long n, int C, int pixels, int groups, int size,
                          Real<T> k, Real<T> a, Real<T> beta) {
  using R = Real<T>;
  long long i = thread_number();
  if (i >= n) return;
  Place place(i, C, pixels, groups, size);
  R sum = 0;
  for (int j = place.low; j < place.high; j++) {
    R value = x[i + (long long)(j - place.c) * pixels];
    sum += value * value;
  }
  R s = k + a * sum;
  scale[i] = s;
  y[i] = T(R(x[i]) * inverse_power(s, beta));
}

template <class T>
__global__ void lrn_plain_backward(const T* dy, const T* x, const Real<T>* scale, T* dx, long long n, int C, int pixels,
                                   int groups, int size, Real<T> a, Real<T> beta) {
  using R = Real<T>;
  long long i = thread_number();
  if (i >= n) return;
  Place place(i, C, pixels, groups, size);
  R sum = 0;
  for (int j = place.low; j < place.high; j++) {
    long long o = i + (long long)(j - place.c) * pixels;
    sum += R(dy[o]) * R(x[o]) * inverse_power(scale[o], beta) / scale[o];
  }
  dx[i] = T(R(dy[i]) * inverse_power(scale[i], beta) - 2 * a * beta * R(x[i]) * sum);
}
