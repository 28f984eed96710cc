// ReLU, local response normalisation and max-pooling in one pass, and back through all three.
//
// Math     z = lrn(max(x, 0)) with its scale s;  y = max of z over the window, index where the first such stands;
//          back: dz[h,w] = Σ dy over the windows that (h, w) won;  dx = lrn_backward(dz, max(x, 0), s) where x > 0
// Shapes   x, s, dx (N, C, H·W), y, dy and index (N, C, P·Q)
// Threads  forward: grid (bands, pieces of CHANNELS channels, images), block 128; a block has the rows that `band` rows of
//          y see, each thread up to 4 of their pixels with windows of channels in registers; z of a channel meets in shared
//          memory. Backward: grid (⌈pixels/128⌉, pieces, images), a thread for each pixel
// Traffic  x once, and again what bands and pieces share; s written once, z never; back: s, x and dx once, dz never
// Change   against three operations: four passes over the plane less forward, three less backward
#include "../lrn/walk.cuh"
#include "../maxpool2d/windows.cuh"

constexpr int THREADS = 128, EACH_PIXELS = 4, PIXELS = THREADS * EACH_PIXELS;  // of a band

// Where band number i begins to own rows: each row belongs to one, whether a window sees it or not.
__device__ __forceinline__ int first_row(int p, const Windows& of) {
  return p <= 0 ? 0 : p >= of.P ? of.H : min(max(p * of.down - of.top, 0), of.H);
}

template <class T, int SIZE>
__global__ void __launch_bounds__(THREADS)
relu_lrn_maxpool2d(const T* x, T* y, Real<T>* scale, int* index, int C, int groups, Windows of, int band, Real<T> k, Real<T> a,
                   Real<T> beta) {
  using R = Real<T>;
  __shared__ R z[PIXELS];
  int pixels = of.H * of.W, p0 = blockIdx.x * band, p1 = min(p0 + band, of.P);
  int first = first_row(p0, of) * of.W, owned = first_row(p1, of) * of.W;
  int count = max(min((p1 - 1) * of.down - of.top + of.R, of.H) * of.W, owned) - first;
  Piece piece(C, groups);
  long long image = (long long)blockIdx.z * C;
  x += image * pixels;
  scale += image * pixels;
  Rule<R> rule{k, a, beta};
  // Threads beyond the last pixel walk along with it, and write nothing.
  auto place = [&](int j) { return first + min((int)threadIdx.x + j * THREADS, count - 1); };
  Window<T, SIZE, true> windows[EACH_PIXELS] = {{x + place(0), piece, pixels}, {x + place(1), piece, pixels},
                                                {x + place(2), piece, pixels}, {x + place(3), piece, pixels}};
  for (int c = piece.first; c < piece.last; c++) {
#pragma unroll
    for (int j = 0; j < EACH_PIXELS; j++) {
      int pixel = threadIdx.x + j * THREADS;
      R s = windows[j].move(x + place(j), c, piece, pixels, rule);
      if (pixel < count) z[pixel] = windows[j].at[SIZE / 2] * inverse_power(s, beta);
      if (pixel < owned - first) scale[(long long)c * pixels + first + pixel] = s;
    }
    __syncthreads();
    for (int o = threadIdx.x; o < (p1 - p0) * of.Q; o += THREADS) {
      int p = p0 + o / of.Q, q = o % of.Q;
      auto [value, best] = winner_of<R>(p, q, of, [&](int place) { return z[place - first]; });
      long long i = ((image + c) * of.P + p) * of.Q + q;
      y[i] = T(value);
      index[i] = best;
    }
    __syncthreads();  // the next channel writes there
  }
}

template <class T, int SIZE>
__global__ void __launch_bounds__(THREADS)
relu_lrn_maxpool2d_backward(const T* dy, const T* x, const Real<T>* scale, const int* index, T* dx, int C, int groups, Windows of,
                            Real<T> a, Real<T> beta) {
  int pixels = of.H * of.W, pixel = blockIdx.x * THREADS + threadIdx.x;
  if (pixel >= pixels) return;
  Holders holders(pixel / of.W, pixel % of.W, of);
  long long image = (long long)blockIdx.z * C, at = image * pixels + pixel;
  auto upstream = [&](int c) {
    long long plane = (image + c) * of.P * of.Q;
    return gathered<T>(dy + plane, nullptr, index + plane, holders, of.Q);
  };
  walk_back<T, SIZE, true>(upstream, x + at, scale + at, dx + at, Piece(C, groups), pixels, a, beta);
}
