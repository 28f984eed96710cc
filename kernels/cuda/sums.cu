// The parts of a split product added up, and the bias to them; then the ReLU, where it is asked for.
//
// Math     y = Σ_split parts[split] + b
// Shapes   parts (splits, size), y (size); a bias for each `pixels` elements, K of them in turn; none where K is 0
// Threads  grid ⌈size/256⌉, block 256; a thread has one element
// Traffic  each array once
// Change   against atomics: a fixed order of the sum, so the same bits each time
#include "common.cuh"

template <class T, class Y>
__global__ void sum_splits(const T* parts, const T* b, Y* y, long long size, int splits, int pixels, int K, int relu) {
  long long i = thread_number();
  if (i >= size) return;
  T sum = K ? b[i / pixels % K] : T(0);
  for (int split = 0; split < splits; split++) sum += parts[split * size + i];
  y[i] = Y(relu && sum <= T(0) ? T(0) : sum);
}
