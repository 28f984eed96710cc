// conv2d with stride d as one with stride 1: blocks of d × d pixels become channels of their own, and the filters too.
//
// Math     z[n, (c, i, j), a, b] = x̂[n, c, a·d + i, b·d + j] with x̂ padded by zeros; back: the same places the other way
// Shapes   x (N, C, H, W), z (N, C·d·d, A, B); conv1's 11 × 11 filters of 3 channels become 3 × 3 filters of 48
// Threads  grid ⌈elements/256⌉, block 256; a thread has one element of what is written
// Traffic  x and z once, beside the product
// Change   against gpu_cuda/buffered or bf16 on x itself: neighbouring outputs read neighbours, not every d-th pixel
#include "../cuda/common.cuh"

struct Blocks { int C, H, W, A, B, down, across, top, left; };

template <class T> __global__ void to_blocks(const T* x, T* z, long long size, Blocks of) {
  long long i = thread_number();
  if (i >= size) return;
  int b = i % of.B, a = i / of.B % of.A;
  long long plane = i / of.B / of.A;  // (n, c, row, column) in a block
  int column = plane % of.across, row = plane / of.across % of.down;
  long long image = plane / of.across / of.down;
  int h = a * of.down + row - of.top, w = b * of.across + column - of.left;
  bool inside = h >= 0 && h < of.H && w >= 0 && w < of.W;
  z[i] = inside ? x[(image * of.H + h) * of.W + w] : T(0);
}

template <class T> __global__ void from_blocks(const T* z, T* x, long long size, Blocks of) {
  long long i = thread_number();
  if (i >= size) return;
  int w = i % of.W + of.left, h = i / of.W % of.H + of.top;
  long long image = i / of.W / of.H;
  int a = h / of.down, b = w / of.across;
  long long plane = (image * of.down + h % of.down) * of.across + w % of.across;
  x[i] = a < of.A && b < of.B ? z[(plane * of.A + a) * of.B + b] : T(0);
}
