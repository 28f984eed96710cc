// dropout, forward and backward alike: a thread draws the four words of a Philox block in registers.
//
// Math     y = factor · x where the element's word is at least the threshold, else 0
// Shapes   any, seen as one row of n
// Threads  grid ⌈n/1024⌉, block 256; a thread has four neighbours, which share a counter; of bfloat16 twice four
// Traffic  the least: x and y once, 16 bytes at a time; no mask and no state of a generator
// Change   against a generator with a state: nothing to load or to keep, the backward draws the words again
#include "../cuda/common.cuh"
#include "../cuda/philox.cuh"

template <class T>
__device__ void drop(const T* x, T* y, long long n, unsigned threshold, Real<T> factor, StreamKey key) {
  long long i = EACH<T> * thread_number();
  Pack<T> p = load(x, i, n);
#pragma unroll
  for (int j = 0; j < EACH<T>; j += 4) {
    Words words = philox4x32((unsigned long long)(i + j) / 4, key.mixed, key.iteration);
#pragma unroll
    for (int word = 0; word < 4; word++)
      p.at[j + word] = words.at[word] >= threshold ? T(factor * Real<T>(p.at[j + word])) : T(0);
  }
  store(y, i, n, p);
}

template <class T>
__global__ void dropout(const T* x, T* y, long long n, unsigned threshold, Real<T> factor, unsigned mixed, unsigned iteration) {
  drop(x, y, n, threshold, factor, StreamKey{mixed, iteration});
}

// The key, (seed, layer, iteration), is read when the kernel runs: a captured graph takes the next iteration from there.
template <class T>
__global__ void dropout_from(const T* x, T* y, long long n, unsigned threshold, Real<T> factor, const long long* key) {
  drop(x, y, n, threshold, factor, stream_key(key[0], key[1], key[2]));
}

// What is done with x while predicting.
template <class T> __global__ void scale(const T* x, T* y, long long n, Real<T> factor) {
  long long i = EACH<T> * thread_number();
  Pack<T> p = load(x, i, n);
#pragma unroll
  for (int j = 0; j < EACH<T>; j++) p.at[j] = T(Real<T>(p.at[j]) * factor);
  store(y, i, n, p);
}
