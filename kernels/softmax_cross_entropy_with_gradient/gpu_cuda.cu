// Softmax, cross-entropy and the gradient of their mean: a block for each row.
//
// Math     loss[n] = log Σ exp(z − max z) − (z[label] − max z);  dlogits = (exp(z − max z) / Σ exp(z − max z) − [k = label]) / N
// Shapes   logits, dlogits (N, K), labels (N,) of 8 bytes, losses (N,)
// Threads  grid N, block 128; a thread has every 128th class
// Traffic  logits read and dlogits written once
// Change   against a forward and a backward: the probabilities are never written
#include "../softmax_cross_entropy/row.cuh"

template <class T>
__global__ void losses_and_gradients(const T* logits, const long long* labels, Real<T>* losses, T* dlogits, int N, int K) {
  using R = Real<T>;
  logits += (long long)blockIdx.x * K;
  dlogits += (long long)blockIdx.x * K;
  long long label = labels[blockIdx.x];
  Row<T> row(logits, K);
  for (int k = threadIdx.x; k < K; k += blockDim.x)
    dlogits[k] = T((row.probability(logits[k]) - (k == label ? R(1) : R(0))) / R(N));
  if (threadIdx.x == 0) losses[blockIdx.x] = row.loss(logits[label]);
}
