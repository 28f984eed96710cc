// Softmax and its backward: a block for each row.
//
// Math     y = exp(x − max x) / Σ exp(x − max x);  dx = y · (dy − Σ dy·y)
// Shapes   x, y, dy, dx (N, K); y is float for x in bfloat16
// Threads  grid N, block 128; a thread has every 128th class
// Traffic  x and y once from memory; a row comes from the cache when it is read again
// Change   against one thread for a row: 128 of them, whose sums meet by shuffles
#include "../cuda/common.cuh"
#include "../cuda/exponential.cuh"

template <class T>
__global__ void softmax(const T* x, Real<T>* y, int K) {
  using R = Real<T>;
  x += (long long)blockIdx.x * K;
  y += (long long)blockIdx.x * K;
  R largest = minus_infinity<R>(), total = 0;
  for (int k = threadIdx.x; k < K; k += blockDim.x) largest = Larger::of(R(x[k]), largest);
  largest = over_block<Larger>(largest, minus_infinity<R>());
  for (int k = threadIdx.x; k < K; k += blockDim.x) total += exponential(R(x[k]) - largest);
  total = over_block<Sum>(total, R(0));
  for (int k = threadIdx.x; k < K; k += blockDim.x) y[k] = exponential(R(x[k]) - largest) / total;
}

template <class T> __global__ void softmax_backward(const T* dy, const T* y, T* dx, int K) {
  long long row = (long long)blockIdx.x * K;
  T sum = T(0);
  for (int k = threadIdx.x; k < K; k += blockDim.x) sum += dy[row + k] * y[row + k];
  sum = over_block<Sum>(sum, T(0));
  for (int k = threadIdx.x; k < K; k += blockDim.x) dx[row + k] = y[row + k] * (dy[row + k] - sum);
}
