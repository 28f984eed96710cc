// Instructions without a name in CUDA C++: inline PTX for the GPU, and beside it what the emulator does in its place.
//
// Source of the layouts of fragments: PTX ISA, "Matrix fragments for mma.m16n8k8" and "mma.m16n8k16".
#pragma once

#ifndef CUDA_EMULATOR

// Copy *from, or a zero where `from` is null (of which nothing is read), to shared memory: there once it is waited for.
template <class T> __device__ __forceinline__ void copy_async(T* to, const T* from) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "cp.async takes 4 or 8 bytes here");
  unsigned shared = (unsigned)__cvta_generic_to_shared(to);
  int bytes = from ? sizeof(T) : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared), "l"(from), "n"(sizeof(T)), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Wait until at most PENDING groups of copies are under way.
template <int PENDING> __device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// The nearest number with 10 bits of mantissa, ties away from zero.
__device__ __forceinline__ unsigned to_tf32(float x) {
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

// The nearest number with 7 bits of mantissa, ties to even, as the upper half of a float.
__device__ __forceinline__ unsigned short to_bfloat16(float x) {
  unsigned short bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}

// d += a · b for a (16, 16), b (16, 8), d (16, 8); a register of a or b holds two neighbours along k.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// d += a · b for a (16, 8), b (8, 8), d (16, 8), each lane with its fragments.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#else

template <class T> inline void copy_async(T* to, const T* from) {
  emu::copy_later(to, from, from ? sizeof(T) : 0, sizeof(T), __LINE__);
}
inline void commit_copies() { emu::commit_copies(); }
template <int PENDING> inline void wait_for_copies() { emu::wait_for_copies(PENDING); }

inline unsigned to_tf32(float x) {
  unsigned bits = __float_as_uint(x);
  if ((bits & 0x7f800000u) == 0x7f800000u) return bits;  // infinity and NaN
  return (bits + 0x1000u) & 0xffffe000u;
}

inline unsigned short to_bfloat16(float x) {
  unsigned bits = __float_as_uint(x);
  return x != x ? 0x7fff : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}

struct Fragments { unsigned a[4], b[2]; };

// d += a · b over DEPTH terms, where at_a(fragments of all lanes, m, k) and at_b(…, k, n) know whose they are; d[i] is row
// g + 8·⌊i/2⌋, column 2·t + i mod 2 of lane 4·g + t. Products exact and sums in double: a tensor core keeps fewer bits, which
// only hardware shows.
template <int DEPTH, class A, class B>
inline void multiply_fragments(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], A at_a, B at_b) {
  Fragments mine;
  memcpy(mine.a, a, sizeof a);
  memcpy(mine.b, b, sizeof b);
  auto all = emu::exchange(0xffffffffu, mine, "mma", __LINE__);
  auto of = [&](int lane) { return reinterpret_cast<const Fragments*>(all[lane]); };
  int g = emu::lane() / 4, t = emu::lane() % 4;
  for (int i = 0; i < 4; i++) {
    double sum = d[i];
    for (int k = 0; k < DEPTH; k++) sum += double(at_a(of, g + 8 * (i / 2), k)) * double(at_b(of, k, 2 * t + i % 2));
    d[i] = float(sum);
  }
}

inline void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  auto half = [](unsigned two, int which) { return __uint_as_float(which ? two & 0xffff0000u : two << 16); };
  // Lane 4·g + t: a[i] is row g + 8·(i mod 2), columns 2·t + 8·⌊i/2⌋ and the next; b[i] rows 2·t + 8·i and the next, column g.
  multiply_fragments<16>(
      d, a, b, [&](auto of, int m, int k) { return half(of(4 * (m % 8) + k % 8 / 2)->a[m / 8 + 2 * (k / 8)], k % 2); },
      [&](auto of, int k, int n) { return half(of(4 * n + k % 8 / 2)->b[k / 8], k % 2); });
}

inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  auto number = [](unsigned bits) { return __uint_as_float(bits & 0xffffe000u); };  // what the core looks at
  // Lane 4·g + t: a[i] is row g + 8·(i mod 2), column t + 4·⌊i/2⌋; b[i] row t + 4·i, column g.
  multiply_fragments<8>(
      d, a, b, [&](auto of, int m, int k) { return number(of(4 * (m % 8) + k % 4)->a[m / 8 + 2 * (k / 4)]); },
      [&](auto of, int k, int n) { return number(of(4 * n + k % 4)->b[k / 4]); });
}

#endif
