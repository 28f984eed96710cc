// bfloat16: stored with 8 bits of mantissa, computed with as a float.
#pragma once
#include "tensorcore.cuh"

struct alignas(2) bfloat16 {
  unsigned short bits;
  bfloat16() = default;
  __device__ __forceinline__ bfloat16(float x) : bits(to_bfloat16(x)) {}
  __device__ __forceinline__ operator float() const { return __uint_as_float((unsigned)bits << 16); }
};

// What numbers of a type are summed in, and what they keep beside them.
template <class T> struct Accumulator { using type = T; };
template <> struct Accumulator<bfloat16> { using type = float; };
template <class T> using Real = typename Accumulator<T>::type;
