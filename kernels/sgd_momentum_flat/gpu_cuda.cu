// The update of all weights in one launch, with a copy of them in bfloat16 where that is what the next forward reads.
//
// Math     v ← μ·v − ε·f·(λ·d·w + g);  w ← w + v; nothing where the loss is infinite or NaN
// Shapes   w, v, g, stored (n), factors (⌈n/1024⌉, 2): f and d of each block's weights, loss and lr one number
// Threads  grid ⌈n/1024⌉, block 256; a thread has four neighbours, a block the weights of one parameter
// Traffic  the least: w, v and g read, w and v written, 16 bytes at a time; and stored
// Change   against a launch for each parameter: no gaps between sixteen of them, of which eight are a few biases
#include "../cuda/common.cuh"

template <class T, class Stored>
__device__ void update(T* w, T* v, const T* g, const T* factors, const T* loss, Stored* stored, long long n, const T* lr, T momentum,
                       T decay) {
  long long i = EACH<T> * thread_number();
  T rate = lr[0] * factors[2 * blockIdx.x], pull = decay * factors[2 * blockIdx.x + 1];
  bool finite = loss[0] - loss[0] == T(0);
  Pack<T> pw = load(w, i, n), pv = load(v, i, n), pg = load(g, i, n);
#pragma unroll
  for (int j = 0; j < EACH<T>; j++) {
    T moved = momentum * pv.at[j] - rate * (pull * pw.at[j] + pg.at[j]);
    pv.at[j] = finite ? moved : pv.at[j];
    pw.at[j] = finite ? pw.at[j] + moved : pw.at[j];
    if (stored && i + j < n) stored[i + j] = Stored(pw.at[j]);
  }
  store(v, i, n, pv);
  store(w, i, n, pw);
}

template <class T>
__global__ void sgd_momentum_flat(T* w, T* v, const T* g, const T* factors, const T* loss, long long n, const T* lr, T momentum,
                                  T decay) {
  update<T, T>(w, v, g, factors, loss, nullptr, n, lr, momentum, decay);
}

template <class T>
__global__ void sgd_momentum_mixed(T* w, T* v, const T* g, const T* factors, const T* loss, bfloat16* stored, long long n,
                                   const T* lr, T momentum, T decay) {
  update(w, v, g, factors, loss, stored, n, lr, momentum, decay);
}
