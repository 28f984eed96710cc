// ReLU and max-pooling in one pass, and back through both.
//
// Math     y = max over the window of max(x, 0), index = h·W + w of the first such element;
//          dx[h,w] = Σ dy over the windows that hold (h, w), whose index is h·W + w, and whose y > 0
// Shapes   x (N·C, H, W), y and index (N·C, P, Q), index int32
// Threads  grid ⌈outputs/256⌉, block 256; neighbours in a warp are neighbours in a row
// Traffic  the least from memory: relu(x) is not written, and the mask of its backward is read from y, a fourth of x
// Change   against relu and maxpool2d one after the other: two passes over x's plane less, in each direction
#include "../maxpool2d/windows.cuh"

template <class T>
__global__ void relu_maxpool2d(const T* x, T* y, int* index, long long outputs, Windows of) {
  long long i = thread_number();
  if (i >= outputs) return;
  const T* plane = x + i / of.Q / of.P * of.H * of.W;
  auto [value, best] = winner_of<T>(i / of.Q % of.P, i % of.Q, of, [&](int place) { return positive(plane[place]); });
  y[i] = value;
  index[i] = best;
}

template <class T>
__global__ void relu_maxpool2d_backward(const T* dy, const T* y, const int* index, T* dx, long long inputs, Windows of) {
  long long i = thread_number();
  if (i >= inputs) return;
  Holders holders(i / of.W % of.H, i % of.W, of);
  long long plane = i / of.W / of.H * of.P * of.Q;
  dx[i] = T(gathered(dy + plane, y + plane, index + plane, holders, of.Q));
}
