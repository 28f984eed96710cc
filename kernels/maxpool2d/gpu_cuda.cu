// Max-pooling and its backward: a thread for each output, and for each element of dx.
//
// Math     y = max over the window, index = h·W + w of the first such element, a NaN above all;
//          dx[h,w] = Σ dy over the windows that hold (h, w) and whose index is h·W + w
// Shapes   x (N·C, H, W), y and index (N·C, P, Q), index int32
// Threads  grid ⌈outputs/256⌉, block 256; neighbours in a warp are neighbours in a row
// Traffic  the least from memory: what overlapping windows read again comes from the caches
// Change   against scattering dy: no atomics, so the sum is the same each time, and dx need not be cleared first
#include "../cuda/common.cuh"

struct Windows { int H, W, P, Q, R, S, down, across, top, left; };

template <class T>
__global__ void maxpool2d(const T* x, T* y, int* index, long long outputs, Windows at) {
  long long i = thread_number();
  if (i >= outputs) return;
  int q = i % at.Q, p = i / at.Q % at.P;
  const T* plane = x + i / at.Q / at.P * at.H * at.W;
  int h0 = p * at.down - at.top, w0 = q * at.across - at.left;
  int best = max(h0, 0) * at.W + max(w0, 0);
  T largest = plane[best];
  for (int h = max(h0, 0); h < min(h0 + at.R, at.H); h++)
    for (int w = max(w0, 0); w < min(w0 + at.S, at.W); w++) {
      T value = plane[h * at.W + w];
      if (value > largest || (value != value && largest == largest)) {
        largest = value;
        best = h * at.W + w;
      }
    }
  y[i] = largest;
  index[i] = best;
}

template <class T>
__global__ void maxpool2d_backward(const T* dy, const int* index, T* dx, long long inputs, Windows at) {
  long long i = thread_number();
  if (i >= inputs) return;
  int w = i % at.W, h = i / at.W % at.H, here = h * at.W + w;
  long long plane = i / at.W / at.H * at.P * at.Q;
  // Window p covers p·down − top … + R − 1; the first that reaches h, and the last.
  int p0 = max(h + at.top - at.R + at.down, 0) / at.down, p1 = min((h + at.top) / at.down, at.P - 1);
  int q0 = max(w + at.left - at.S + at.across, 0) / at.across, q1 = min((w + at.left) / at.across, at.Q - 1);
  Real<T> sum = 0;
  for (int p = p0; p <= p1; p++)
    for (int q = q0; q <= q1; q++) {
      long long o = plane + p * at.Q + q;
      if (index[o] == here) sum += Real<T>(dy[o]);
    }
  dx[i] = T(sum);
}
