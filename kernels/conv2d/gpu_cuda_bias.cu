// The bias's gradient of a convolution.
//
// Math     db[k] = Σ_{n,p,q} dy[n,k,p,q]
// Shapes   dy (N, K, pixels), db (K,)
// Threads  grid K, block 256; a thread has every 256th pixel of each image
// Traffic  dy once
// Change   against a pass of the weights' product: dy is read in order, by whole lines
#include "../cuda/common.cuh"

template <class T> __global__ void bias_gradient(const T* dy, Real<T>* db, int N, int K, int pixels) {
  Real<T> sum = 0;
  for (int n = 0; n < N; n++) {
    const T* map = dy + ((long long)n * K + blockIdx.x) * pixels;
    Real<T> of_map = 0;
    for (int i = threadIdx.x; i < pixels; i += blockDim.x) of_map += Real<T>(map[i]);
    sum += of_map;
  }
  sum = over_block<Sum>(sum, Real<T>(0));
  if (threadIdx.x == 0) db[blockIdx.x] = sum;
}
