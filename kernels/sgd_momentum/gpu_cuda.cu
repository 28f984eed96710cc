// The update of one array of weights.
//
// Math     v ← μ·v − λ·ε·w − ε·g;  w ← w + v
// Shapes   any, seen as one row of n
// Threads  grid ⌈n/1024⌉, block 256; a thread has four neighbours
// Traffic  the least: w, v and g read, w and v written, 16 bytes at a time
// Change   against a pass for each term: five arrays moved in place of nine
#include "../cuda/common.cuh"

template <class T>
__device__ void step(T* w, T* v, const T* g, long long n, T lr, T momentum, T decay) {
  long long i = EACH<T> * thread_number();
  Pack<T> pw = load(w, i, n), pv = load(v, i, n), pg = load(g, i, n);
#pragma unroll
  for (int j = 0; j < EACH<T>; j++) {
    pv.at[j] = momentum * pv.at[j] - lr * (decay * pw.at[j] + pg.at[j]);
    pw.at[j] += pv.at[j];
  }
  store(v, i, n, pv);
  store(w, i, n, pw);
}

template <class T> __global__ void sgd_momentum(T* w, T* v, const T* g, long long n, T lr, T momentum, T decay) {
  step(w, v, g, n, lr, momentum, decay);
}

// The learning rate is read when the kernel runs: a captured graph takes the next one from there.
template <class T>
__global__ void sgd_momentum_from(T* w, T* v, const T* g, long long n, const T* lr, T momentum, T decay) {
  step(w, v, g, n, lr[0], momentum, decay);
}
