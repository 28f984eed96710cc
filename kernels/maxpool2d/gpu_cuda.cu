// Max-pooling and its backward: a thread for each output, and for each element of dx.
//
// Math     y = max over the window, index = h·W + w of the first such element, a NaN above all;
//          dx[h,w] = Σ dy over the windows that hold (h, w) and whose index is h·W + w
// Shapes   x (N·C, H, W), y and index (N·C, P, Q), index int32
// Threads  grid ⌈outputs/256⌉, block 256; neighbours in a warp are neighbours in a row
// Traffic  the least from memory: what overlapping windows read again comes from the caches
// Change   against scattering dy: no atomics, so the sum is the same each time, and dx need not be cleared first
#include "windows.cuh"

template <class T>
__global__ void maxpool2d(const T* x, T* y, int* index, long long outputs, Windows of) {
  long long i = thread_number();
  if (i >= outputs) return;
  const T* plane = x + i / of.Q / of.P * of.H * of.W;
  auto [value, best] = winner_of<T>(i / of.Q % of.P, i % of.Q, of, [&](int place) { return plane[place]; });
  y[i] = value;
  index[i] = best;
}

template <class T>
__global__ void maxpool2d_backward(const T* dy, const int* index, T* dx, long long inputs, Windows of) {
  long long i = thread_number();
  if (i >= inputs) return;
  Holders holders(i / of.W % of.H, i % of.W, of);
  long long plane = i / of.W / of.H * of.P * of.Q;
  dx[i] = T(gathered<T>(dy + plane, nullptr, index + plane, holders, of.Q));
}
