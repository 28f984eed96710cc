// The bias's gradient of a linear layer.
//
// Math     db[k] = Σ_n dy[n,k]
// Shapes   dy (N, K), db (K,)
// Threads  grid ⌈K/256⌉, block 256; a thread has one column, neighbours in a warp 32 side by side
// Traffic  dy once, by whole lines
// Change   against a product with ones: nothing but the sum
#include "../cuda/common.cuh"

template <class T> __global__ void bias_gradient(const T* dy, Real<T>* db, int N, int K) {
  long long k = thread_number();
  if (k >= K) return;
  Real<T> sum = 0;
  for (int n = 0; n < N; n++) sum += Real<T>(dy[(long long)n * K + k]);
  db[k] = sum;
}
