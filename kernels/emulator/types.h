// The words of CUDA C++ that need no scheduler: qualifiers, vector types, arithmetic.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#define CUDA_EMULATOR 1
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))

struct uint3 { unsigned x, y, z; };
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#define EMU_VECTORS(T, name)                                          \
  struct alignas(2 * sizeof(T)) name##2 { T x, y; };                  \
  struct alignas(4 * sizeof(T) > 16 ? 16 : 4 * sizeof(T)) name##4 { T x, y, z, w; }; \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }          \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMU_VECTORS(float, float)
EMU_VECTORS(double, double)
EMU_VECTORS(int, int)
EMU_VECTORS(unsigned, uint)
#undef EMU_VECTORS

using std::max;
using std::min;

template <class To, class From> inline To emu_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "a bit cast keeps the size");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}
inline int __float_as_int(float f) { return emu_bits<int>(f); }
inline unsigned __float_as_uint(float f) { return emu_bits<unsigned>(f); }
inline float __int_as_float(int i) { return emu_bits<float>(i); }
inline float __uint_as_float(unsigned i) { return emu_bits<float>(i); }
inline long long __double_as_longlong(double d) { return emu_bits<long long>(d); }
inline double __longlong_as_double(long long i) { return emu_bits<double>(i); }

inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
template <class T> inline T __ldg(const T* p) { return *p; }
template <class T> inline T __ldcs(const T* p) { return *p; }
template <class T> inline void __stcs(T* p, T v) { *p = v; }

// One thread runs at a time, and is left only where it waits: what it does is atomic.
template <class T, class F> inline T emu_change(T* p, F f) { T old = *p; *p = f(old); return old; }
template <class T> inline T atomicAdd(T* p, T v) { return emu_change(p, [=](T old) { return old + v; }); }
template <class T> inline T atomicSub(T* p, T v) { return emu_change(p, [=](T old) { return old - v; }); }
template <class T> inline T atomicMax(T* p, T v) { return emu_change(p, [=](T old) { return max(old, v); }); }
template <class T> inline T atomicMin(T* p, T v) { return emu_change(p, [=](T old) { return min(old, v); }); }
template <class T> inline T atomicOr(T* p, T v) { return emu_change(p, [=](T old) { return old | v; }); }
template <class T> inline T atomicAnd(T* p, T v) { return emu_change(p, [=](T old) { return old & v; }); }
template <class T> inline T atomicExch(T* p, T v) { return emu_change(p, [=](T) { return v; }); }
template <class T> inline T atomicCAS(T* p, T expected, T v) {
  return emu_change(p, [=](T old) { return old == expected ? v : old; });
}
inline void __threadfence() {}
inline void __threadfence_block() {}
