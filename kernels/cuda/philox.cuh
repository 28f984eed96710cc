// Philox4x32-10: four random words for each counter (alexnet_np/ops/philox.py has the formula and the source).
#pragma once

struct Words { unsigned at[4]; };

__device__ __forceinline__ Words philox4x32(unsigned long long counter, unsigned k0, unsigned k1) {
  unsigned c0 = (unsigned)counter, c1 = (unsigned)(counter >> 32), c2 = 0, c3 = 0;
#pragma unroll
  for (int round = 0; round < 10; round++) {
    unsigned a_high = __umulhi(c0, 0xD2511F53u), a_low = c0 * 0xD2511F53u;
    unsigned b_high = __umulhi(c2, 0xCD9E8D57u), b_low = c2 * 0xCD9E8D57u;
    c0 = b_high ^ c1 ^ k0;
    c1 = b_low;
    c2 = a_high ^ c3 ^ k1;
    c3 = a_low;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// The words' key: a mix of seed and layer, and the iteration, each modulo 2³².
struct StreamKey { unsigned mixed, iteration; };

__device__ __forceinline__ StreamKey stream_key(unsigned long long seed, unsigned long long layer, unsigned long long iteration) {
  unsigned folded = (unsigned)(seed ^ (seed >> 32));
  return {folded * 0x9E3779B1u + (unsigned)layer * 0x85EBCA6Bu, (unsigned)iteration};
}
