// Local response normalisation: a thread walks through some channels of a pixel, with the window in registers.
//
// Math     s[c] = k + a · Σ_window x²;  y[c] = x[c] · s[c]^(−β)
//          dx[c] = dy[c] · s[c]^(−β) − 2aβ · x[c] · Σ_window t[j],  t[j] = dy[j] · x[j] · s[j]^(−β−1)
// Shapes   x, y, s, dy, dx (N, C, pixels); the window of SIZE channels is cut at the ends of a group
// Threads  grid (⌈pixels/128⌉, pieces of CHANNELS channels, images), block 128; neighbours are neighbouring pixels
// Traffic  each array once, and SIZE − 1 more channels for each piece of CHANNELS
// Change   against gpu_cuda/plain: every x is squared, and every term computed, once in place of SIZE times
#include "walk.cuh"

template <class T, int SIZE>
__global__ void lrn(const T* x, T* y, Real<T>* scale, int C, int pixels, int groups, Real<T> k, Real<T> a, Real<T> beta) {
  int pixel = blockIdx.x * blockDim.x + threadIdx.x;
  if (pixel >= pixels) return;
  Piece piece(C, groups);
  long long at = (long long)blockIdx.z * C * pixels + pixel;
  Window<T, SIZE> window(x + at, piece, pixels);
  Rule<Real<T>> rule{k, a, beta};
  for (int c = piece.first; c < piece.last; c++) {
    Real<T> s = window.move(x + at, c, piece, pixels, rule);
    long long i = at + (long long)c * pixels;
    scale[i] = s;
    y[i] = T(window.at[SIZE / 2] * inverse_power(s, beta));
  }
}

template <class T, int SIZE>
__global__ void lrn_backward(const T* dy, const T* x, const Real<T>* scale, T* dx, int C, int pixels, int groups, Real<T> a,
                             Real<T> beta) {
  int pixel = blockIdx.x * blockDim.x + threadIdx.x;
  if (pixel >= pixels) return;
  long long at = (long long)blockIdx.z * C * pixels + pixel;
  auto upstream = [&](int c) { return Real<T>(dy[at + (long long)c * pixels]); };
  walk_back<T, SIZE, false>(upstream, x + at, scale + at, dx + at, Piece(C, groups), pixels, a, beta);
}
