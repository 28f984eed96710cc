// The same numbers in another type.
//
// Math     y = x, rounded to the nearest, ties to even
// Shapes   any, seen as one row of n
// Threads  grid ⌈n/1024⌉, block 256; a thread has four neighbours, eight where x is bfloat16
// Traffic  the least: x read and y written once
// Change   against one element a thread: loads of 16 bytes
#include "../cuda/common.cuh"

template <class T, class Y> __global__ void cast(const T* x, Y* y, long long n) {
  long long i = EACH<T> * thread_number();
  Pack<T> p = load(x, i, n);
#pragma unroll
  for (int j = 0; j < EACH<T>; j++)
    if (i + j < n) y[i + j] = Y(Real<T>(p.at[j]));
}
