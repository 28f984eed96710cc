// The three products of a convolution, as matrix products that never write their columns down (implicit GEMM).
//
//              C[m,n]              left[m,k]          right[k,n]
//   Forward    y, m = filter       w                  x̂ seen at (c, r, s) = k by output n = (image, p, q)
//   Data       dx, m = channel     w                  dy that (h, w) = n goes to by (filter, r, s) = k
//   Weights    dw, m = filter      dy, k = (image, p, q)   x̂ seen by output k at (c, r, s) = n
//
// All for one group. `left` and `right` give an element's address, or null for a zero: padding, or no such window.
// A Row is what is known of k, a Column of n: a thread works each out once for many elements.
#pragma once
#include "../cuda/bfloat16.cuh"

struct Conv {
  int N, C, H, W, K, R, S;
  unsigned P, Q, down, across;
  int top, left, groups, splits, relu;
};

// Where a block of the grid stands: z counts groups and, within them, parts of the sum over k.
struct Part {
  int group, split;
  __device__ Part(int splits) : group(blockIdx.z / splits), split(blockIdx.z % splits) {}
};

template <class T, class Y> struct Forward {
  using Element = T;
  using R = Real<T>;
  static constexpr bool LEFT_ALONG_K = true, RIGHT_ALONG_K = false;  // which way neighbours in memory lie
  Conv s;
  const T *x, *w;
  const R* b;
  Y* y;
  int group, M, N, K;
  struct Row { int k, r, s, at; };
  struct Column { long long at; int h, w; };

  __device__ Forward(const Conv& s, const T* x, const T* w, const R* b, Y* y, int group)
      : s(s), x(x), w(w), b(b), y(y), group(group), M(s.K / s.groups), N(s.N * s.P * s.Q), K(s.C / s.groups * s.R * s.S) {}

  __device__ Row row(int k) const {
    int c = k / (s.R * s.S), r = k / s.S % s.R, column = k % s.S;
    return {k, r, column, (c * s.H + r) * s.W + column};
  }
  __device__ Column column(int n) const {
    int q = n % s.Q, p = n / s.Q % s.P, image = n / s.Q / s.P;
    int h = p * s.down - s.top, w = q * s.across - s.left;
    return {((long long)image * s.C + group * (s.C / s.groups)) * s.H * s.W + h * s.W + w, h, w};
  }
  __device__ const T* left(int m, const Row& k) const { return w + (long long)(group * M + m) * K + k.k; }
  __device__ const T* right(const Row& k, const Column& n) const {
    bool inside = (unsigned)(n.h + k.r) < (unsigned)s.H && (unsigned)(n.w + k.s) < (unsigned)s.W;
    return inside ? x + n.at + k.at : nullptr;
  }
  __device__ long long place(int m, int n) const {
    int pixels = s.P * s.Q;
    return ((long long)(n / pixels) * s.K + group * M + m) * pixels + n % pixels;
  }
  __device__ void store(int m, int n, R sum) const {
    if (b) sum += b[group * M + m];  // not where the sum is but a part of one
    y[place(m, n)] = Y(b && s.relu && sum <= R(0) ? R(0) : sum);
  }
};

template <class T, class Y> struct Data {
  using Element = T;
  static constexpr bool LEFT_ALONG_K = false, RIGHT_ALONG_K = false;
  Conv s;
  const T *dy, *w;
  Y* dx;
  int group, M, N, K, filters;
  struct Row { int filter, r, s; };
  struct Column { long long at; int h, w; };  // h and w with the padding before them

  __device__ Data(const Conv& s, const T* dy, const T* w, Y* dx, int group)
      : s(s), dy(dy), w(w), dx(dx), group(group), M(s.C / s.groups), N(s.N * s.H * s.W), K(s.K / s.groups * s.R * s.S),
        filters(s.K / s.groups) {}

  __device__ Row row(int k) const { return {k / (s.R * s.S), k / s.S % s.R, k % s.S}; }
  __device__ Column column(int n) const {
    int w = n % s.W, h = n / s.W % s.H, image = n / s.W / s.H;
    return {((long long)image * s.K + group * filters) * s.P * s.Q, h + s.top, w + s.left};
  }
  __device__ const T* left(int m, const Row& k) const {
    return w + (((long long)(group * filters + k.filter) * M + m) * s.R + k.r) * s.S + k.s;
  }
  __device__ const T* right(const Row& k, const Column& n) const {
    unsigned h = n.h - k.r, w = n.w - k.s, p = h / s.down, q = w / s.across;  // far too large where negative
    bool there = p < s.P && q < s.Q && p * s.down == h && q * s.across == w;
    return there ? dy + n.at + ((long long)k.filter * s.P + p) * s.Q + q : nullptr;
  }
  __device__ long long place(int m, int n) const {
    int pixels = s.H * s.W;
    return ((long long)(n / pixels) * s.C + group * M + m) * pixels + n % pixels;
  }
  __device__ void store(int m, int n, Real<T> sum) const { dx[place(m, n)] = Y(sum); }
};

template <class T> struct Weights {
  using Element = T;
  static constexpr bool LEFT_ALONG_K = true, RIGHT_ALONG_K = true;
  Conv s;
  const T *dy, *x;
  Real<T>* dw;
  int group, M, N, K;
  struct Row { long long dy_at, x_at; int h, w; };
  struct Column { int at, r, s; };

  __device__ Weights(const Conv& s, const T* dy, const T* x, Real<T>* dw, int group)
      : s(s), dy(dy), x(x), dw(dw), group(group), M(s.K / s.groups), N(s.C / s.groups * s.R * s.S), K(s.N * s.P * s.Q) {}

  __device__ Row row(int k) const {
    int pixels = s.P * s.Q, pixel = k % pixels, image = k / pixels;
    int h = pixel / s.Q * s.down - s.top, w = pixel % s.Q * s.across - s.left;
    return {((long long)image * s.K + group * M) * pixels + pixel,
            ((long long)image * s.C + group * (s.C / s.groups)) * s.H * s.W + h * s.W + w, h, w};
  }
  __device__ Column column(int n) const {
    int c = n / (s.R * s.S), r = n / s.S % s.R, column = n % s.S;
    return {(c * s.H + r) * s.W + column, r, column};
  }
  __device__ const T* left(int m, const Row& k) const { return dy + k.dy_at + (long long)m * s.P * s.Q; }
  __device__ const T* right(const Row& k, const Column& n) const {
    bool inside = (unsigned)(k.h + n.r) < (unsigned)s.H && (unsigned)(k.w + n.s) < (unsigned)s.W;
    return inside ? x + k.x_at + n.at : nullptr;
  }
  __device__ long long place(int m, int n) const { return (long long)(group * M + m) * N + n; }
  __device__ void store(int m, int n, Real<T> sum) const { dw[place(m, n)] = sum; }
};
