// A row of logits, shared by a block.
#pragma once
#include "../cuda/common.cuh"
#include "../cuda/exponential.cuh"

template <class T> struct Row {
  using R = Real<T>;
  R largest, total;  // of the logits, and the sum of exp(z − largest)

  __device__ Row(const T* logits, int K) : largest(minus_infinity<R>()), total(0) {
    for (int k = threadIdx.x; k < K; k += blockDim.x) largest = Larger::of(R(logits[k]), largest);
    largest = over_block<Larger>(largest, minus_infinity<R>());
    for (int k = threadIdx.x; k < K; k += blockDim.x) total += exponential(R(logits[k]) - largest);
    total = over_block<Sum>(total, R(0));
  }
  __device__ R probability(T logit) const { return exponential(R(logit) - largest) / total; }
  __device__ R loss(T logit) const { return logarithm(total) - (R(logit) - largest); }  // where that is the label's
};
