// Warps: lanes that hand each other values. All lanes of the mask must come to the same operation.
#pragma once
#include "threads.h"

namespace emu {

using Values = const unsigned char (*)[64];

inline int lane() { return current->lane; }

// Every lane of the mask gives a value; all of theirs.
template <class T> inline Values exchange(unsigned mask, const T& value, const char* operation, int line) {
  static_assert(sizeof(T) <= 64, "too large for an exchange");
  Warp& w = warps[current->warp];
  unsigned me = 1u << current->lane;
  int turn = w.turn & 1;
  if (!(mask & me)) fail("bad mask: %s at line %d has the mask %08x, without the calling lane %d", operation, line, mask, current->lane);
  if (mask & ~w.live) fail("bad mask: %s at line %d has the mask %08x, but only the lanes %08x run", operation, line, mask, w.live);
  if (w.arrived && (w.mask != mask || w.line != line || w.operation != operation))
    fail("divergent warp: %s at line %d, mask %08x, while others wait in %s at line %d, mask %08x", operation, line, mask,
         w.operation, w.line, w.mask);
  w.mask = mask, w.line = current->line = line, w.operation = operation;
  memcpy(w.values[turn][current->lane], &value, sizeof value);
  if ((w.arrived |= me) == mask) {
    w.arrived = 0;
    w.turn++;
    released = true;
    for (size_t i = size_t(current->warp) * 32; i < count && i < size_t(current->warp) * 32 + 32; i++)
      if (threads[i]->state == AT_WARP) threads[i]->state = READY;
  } else {
    current->state = AT_WARP;
    wait();
  }
  return w.values[turn];
}

// The value of lane `from`; the own one where that is outside the segment.
template <class T> inline T shuffled(unsigned mask, T value, int from, bool inside, const char* operation, int line) {
  Values all = exchange(mask, value, operation, line);
  if (!inside) return value;
  if (!(mask >> from & 1)) fail("bad mask: %s at line %d reads lane %d, which the mask %08x lacks", operation, line, from, mask);
  T found;
  memcpy(&found, all[from], sizeof found);
  return found;
}

template <class T> inline T shfl(unsigned mask, T v, int from, int line, int width = 32) {
  return shuffled(mask, v, (lane() & ~(width - 1)) | (from & (width - 1)), true, "__shfl_sync", line);
}
template <class T> inline T shfl_xor(unsigned mask, T v, int bits, int line, int width = 32) {
  int from = lane() ^ bits;
  return shuffled(mask, v, from, from / width <= lane() / width, "__shfl_xor_sync", line);
}
template <class T> inline T shfl_down(unsigned mask, T v, int by, int line, int width = 32) {
  return shuffled(mask, v, lane() + by, lane() % width + by < width, "__shfl_down_sync", line);
}
template <class T> inline T shfl_up(unsigned mask, T v, int by, int line, int width = 32) {
  return shuffled(mask, v, lane() - by, lane() % width >= by, "__shfl_up_sync", line);
}
inline unsigned ballot(unsigned mask, bool vote, const char* operation, int line) {
  Values all = exchange(mask, vote, operation, line);
  unsigned bits = 0;
  for (int i = 0; i < 32; i++)
    if (mask >> i & 1) bits |= unsigned(all[i][0]) << i;
  return bits;
}
inline unsigned full_mask(unsigned mask = 0xffffffffu) { return mask; }

// Asynchronous copies reach shared memory when they are waited for, and not before: who forgets it reads poison. With
// every third seed they are there at once, and overwrite what another thread still reads.

inline void do_copy(const Copy& c) {
  if (c.bytes) memcpy(c.to, c.from, c.bytes);
  memset(c.to + c.bytes, 0, c.total - c.bytes);
}

inline void copy_later(void* to, const void* from, int bytes, int total, int line) {
  if ((total != 4 && total != 8 && total != 16) || bytes < 0 || bytes > total)
    fail("cp.async at line %d copies %d of %d bytes; it takes 4, 8 or 16", line, bytes, total);
  if (reinterpret_cast<uintptr_t>(to) % total || (bytes && reinterpret_cast<uintptr_t>(from) % total))
    fail("cp.async at line %d copies %d bytes between addresses that are not aligned to them", line, total);
  current->copies.push_back({static_cast<char*>(to), static_cast<const char*>(from), bytes, total});
  current->uncommitted++;
  if (launch_seed % 3 == 1) do_copy(current->copies.back());
}

inline void commit_copies() {
  current->groups.push_back(current->uncommitted);
  current->uncommitted = 0;
}

// Does the oldest groups, until so many are left.
inline void wait_for_copies(size_t pending) {
  Thread* me = current;
  while (me->groups.size() > pending) {
    for (size_t i = 0; i < me->groups.front(); i++) {
      if (launch_seed % 3 != 1) do_copy(me->copies.front());
      me->copies.pop_front();
    }
    me->groups.pop_front();
  }
}

}  // namespace emu

#define __syncwarp(...) (void)emu::exchange(emu::full_mask(__VA_ARGS__), 0, "__syncwarp", __LINE__)
#define __ballot_sync(mask, p) emu::ballot(mask, !!(p), "__ballot_sync", __LINE__)
#define __any_sync(mask, p) (emu::ballot(mask, !!(p), "__any_sync", __LINE__) != 0)
#define __all_sync(mask, p) (emu::ballot(mask, !(p), "__all_sync", __LINE__) == 0)
#define __shfl_sync(mask, v, lane, ...) emu::shfl(mask, v, lane, __LINE__, ##__VA_ARGS__)
#define __shfl_xor_sync(mask, v, bits, ...) emu::shfl_xor(mask, v, bits, __LINE__, ##__VA_ARGS__)
#define __shfl_down_sync(mask, v, by, ...) emu::shfl_down(mask, v, by, __LINE__, ##__VA_ARGS__)
#define __shfl_up_sync(mask, v, by, ...) emu::shfl_up(mask, v, by, __LINE__, ##__VA_ARGS__)
