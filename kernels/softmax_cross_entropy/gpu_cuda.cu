// Softmax and cross-entropy: a block for each row, then one for the mean of their losses.
//
// Math     probs = exp(z − max z) / Σ exp(z − max z);  loss = mean over n of log Σ exp(z − max z) − (z[label] − max z)
//          dlogits = (probs − [k = label]) / N
// Shapes   logits, probs, dlogits (N, K), labels (N,) of 8 bytes, losses (N,), loss ()
// Threads  grid N, block 128, a thread has every 128th class; the mean: one block, each thread every 128th row
// Traffic  logits and probs once from memory
// Change   against softmax and a logarithm of its result: no probability is taken to a logarithm, so that none is lost.
//          The mean is summed in one order, by one block: the same loss each time
#include "row.cuh"

template <class T>
__global__ void row_losses(const T* logits, const long long* labels, Real<T>* losses, Real<T>* probs, int K) {
  logits += (long long)blockIdx.x * K;
  probs += (long long)blockIdx.x * K;
  Row<T> row(logits, K);
  for (int k = threadIdx.x; k < K; k += blockDim.x) probs[k] = row.probability(logits[k]);
  if (threadIdx.x == 0) losses[blockIdx.x] = row.loss(logits[labels[blockIdx.x]]);
}

template <class T> __global__ void mean(const T* losses, T* loss, int N) {
  T sum = T(0);
  for (int n = threadIdx.x; n < N; n += blockDim.x) sum += losses[n];
  sum = over_block<Sum>(sum, T(0));
  if (threadIdx.x == 0) loss[0] = sum / T(N);
}

template <class T>
__global__ void cross_entropy_backward(const T* probs, const long long* labels, T* dlogits, int N, int K) {
  long long i = thread_number();
  if (i >= (long long)N * K) return;
  dlogits[i] = (probs[i] - (i % K == labels[i / K] ? T(1) : T(0))) / T(N);
}
