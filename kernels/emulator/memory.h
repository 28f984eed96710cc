// What the kernels' memory is made of: arrays between pages that nobody may touch, shared memory full of poison.
//
// Each array argument is copied to pages of its own for the launch. Depending on the seed it ends right at a forbidden
// page, begins right behind one, or ends there to the byte (and is aligned to its elements only). What is left of its
// pages holds a pattern that is looked at afterwards. Under AddressSanitizer the copy comes from malloc, whose red zones
// see every access; there the process ends at the first.
#pragma once
#include <csignal>
#include <cstdint>
#include <stddef.h>
#include <cstdlib>
#include <cstdio>
#include <cstring>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>
#include <ucontext.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define EMU_SANITIZED 1
#else
#define EMU_SANITIZED 0
#endif

namespace emu {

constexpr size_t PAGE = 4096;
constexpr unsigned char SLACK = 0xA5;  // in what is left of an array's pages
constexpr unsigned char POISON[] = {0xFF, 0x7F, 0x81};  // shared memory, by seed: NaN and −1; 3.4e38; −4.8e-38
inline size_t whole_pages(size_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

inline char* map_pages(size_t length) {
  void* pages = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) {
    fprintf(stderr, "the emulator gets no %zu bytes of memory\n", length);
    abort();
  }
  return static_cast<char*>(pages);
}

// An array argument: the caller's memory, and its copy for the launch.
struct Array {
  char* theirs;
  size_t bytes;
  int itemsize, writable, number;  // number: of the argument
  char* copy = nullptr;
  char* pages = nullptr;  // of them the first and the last are forbidden
  size_t length = 0;

  Array(void* data, size_t bytes, int itemsize, int writable, int number)
      : theirs(static_cast<char*>(data)), bytes(bytes), itemsize(itemsize), writable(writable), number(number) {}

  void lend(unsigned seed) {
#if EMU_SANITIZED
    pages = copy = static_cast<char*>(malloc(bytes ? bytes : 1));
#else
    length = whole_pages(bytes ? bytes : 1) + 2 * PAGE;
    pages = map_pages(length);
    mprotect(pages, PAGE, PROT_NONE);
    mprotect(pages + length - PAGE, PAGE, PROT_NONE);
    memset(pages + PAGE, SLACK, length - 2 * PAGE);
    char* end = pages + length - PAGE;
    copy = seed % 3 == 1 ? pages + PAGE : seed % 3 == 0 ? end - (bytes + 15) / 16 * 16 : end - bytes;
#endif
    memcpy(copy, theirs, bytes);
  }

  // The first byte beside the array that was overwritten, from its beginning; PTRDIFF_MAX where none was.
  ptrdiff_t spilled() const {
#if !EMU_SANITIZED
    for (char* p = pages + PAGE; p < pages + length - PAGE; p++)
      if ((p < copy || p >= copy + bytes) && static_cast<unsigned char>(*p) != SLACK) return p - copy;
#endif
    return PTRDIFF_MAX;
  }

  void take_back() {
    if (writable) memcpy(theirs, copy, bytes);
#if EMU_SANITIZED
    free(pages);
#else
    munmap(pages, length);
#endif
  }
};

// Shared memory. `__shared__` variables are thread_local, so that they and nothing else are this library's TLS block:
// also those of templates, which cannot be put into a section of their own.
struct Block { char* data; size_t bytes; };

inline int find_tls(dl_phdr_info* info, size_t, void* found) {
  const char* here = reinterpret_cast<const char*>(&find_tls);
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const auto& header = info->dlpi_phdr[i];
    const char* start = reinterpret_cast<const char*>(info->dlpi_addr + header.p_vaddr);
    if (header.p_type != PT_LOAD || here < start || here >= start + header.p_memsz) continue;
    for (int j = 0; j < info->dlpi_phnum; j++)
      if (info->dlpi_phdr[j].p_type == PT_TLS && info->dlpi_tls_data)
        *static_cast<Block*>(found) = {static_cast<char*>(info->dlpi_tls_data), info->dlpi_phdr[j].p_memsz};
    return 1;
  }
  return 0;
}

static char* dynamic_start = nullptr;  // of this launch's dynamic shared memory
static Block dynamic_pages{nullptr, 0};

inline void* dynamic_shared() { return dynamic_start; }

inline void poison(const Block& block, unsigned seed) {
  if (block.bytes) memset(block.data, POISON[seed % 3], block.bytes);
}

// So many bytes that end at a forbidden page.
inline Block make_dynamic(size_t bytes) {
  size_t length = whole_pages(bytes ? bytes : 1) + PAGE;
  char* pages = map_pages(length);
  mprotect(pages + length - PAGE, PAGE, PROT_NONE);
  dynamic_pages = {pages, length};
  dynamic_start = pages + length - PAGE - (bytes + 15) / 16 * 16;
  return {dynamic_start, bytes};
}

inline void drop_dynamic() {
  munmap(dynamic_pages.data, dynamic_pages.bytes);
  dynamic_start = nullptr;
}

}  // namespace emu
