// What stands beside a convolution's products: parts of a sum added up, and the bias's gradient.
//
// Math     y = Σ_split parts[split] + b;  db[k] = Σ_{n,p,q} dy[n,k,p,q]
// Shapes   parts (splits, size), y (size) with a bias for each `pixels` of them in turn; dy (N, K, pixels), db (K,)
// Threads  sum_splits: grid ⌈size/256⌉, block 256, a thread has one element; bias_gradient: grid K, block 256
// Traffic  each array once
// Change   against atomics: a fixed order of the sum, so the same bits each time
#include "../cuda/common.cuh"

template <class T>
__global__ void sum_splits(const T* parts, const T* b, T* y, long long size, int splits, int pixels, int K, int biased) {
  long long i = thread_number();
  if (i >= size) return;
  T sum = biased ? b[i / pixels % K] : T(0);
  for (int split = 0; split < splits; split++) sum += parts[split * size + i];
  y[i] = sum;
}

template <class T> __global__ void bias_gradient(const T* dy, T* db, int N, int K, int pixels) {
  T sum = T(0);
  for (int n = 0; n < N; n++) {
    const T* map = dy + ((long long)n * K + blockIdx.x) * pixels;
    for (int i = threadIdx.x; i < pixels; i += blockDim.x) sum += map[i];
  }
  sum = over_block<Sum>(sum, T(0));
  if (threadIdx.x == 0) db[blockIdx.x] = sum;
}
