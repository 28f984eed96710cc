// relu and its backward, 16 bytes a thread.
//
// Math     y = 0 where x ≤ 0, else x, so that NaN stays;  dx = dy where y > 0, else 0
// Shapes   any, seen as one row of n
// Threads  grid ⌈n/1024⌉, block 256; a thread has four neighbours, eight of bfloat16
// Traffic  the least: x and y once; dy, y and dx once, 16 bytes at a time
// Change   against one element a thread: a quarter of the instructions, and enough bytes on their way
#include "../cuda/common.cuh"

template <class T> __global__ void relu(const T* x, T* y, long long n) {
  long long i = EACH<T> * thread_number();
  Pack<T> p = load(x, i, n);
#pragma unroll
  for (int j = 0; j < EACH<T>; j++) p.at[j] = p.at[j] <= T(0) ? T(0) : p.at[j];
  store(y, i, n, p);
}

template <class T> __global__ void relu_backward(const T* dy, const T* y, T* dx, long long n) {
  long long i = EACH<T> * thread_number();
  Pack<T> d = load(dy, i, n), p = load(y, i, n);
#pragma unroll
  for (int j = 0; j < EACH<T>; j++) d.at[j] = p.at[j] > T(0) ? d.at[j] : T(0);
  store(dx, i, n, d);
}
