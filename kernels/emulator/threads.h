// A block's threads as fibers: each runs until it waits for others, then the next one does.
//
// Blocks come one after another, in an order that the seed decides, as it does that of the threads: 0 ascending,
// 1 descending, else shuffled. With 0 the threads take turns; else the first that can go on does, so that a warp runs
// as far ahead of the others as it may. A kernel without races gives the same bits in each.
#pragma once
#include <csetjmp>
#include <cstdarg>
#include <deque>
#include <utility>
#include <type_traits>

#include "memory.h"
#include "types.h"

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

namespace emu {

constexpr size_t STACK = (256 << 10) + 7 * 64;  // not a power of two, which would put all stacks into a few cache sets
constexpr unsigned MOST_THREADS = 1024;
constexpr size_t MOST_SHARED = 227 * 1024;

struct Copy { char* to; const char* from; int bytes, total; };  // `total` − `bytes` zeros behind

enum State { READY, AT_BARRIER, AT_WARP, DONE };

struct Thread {
  jmp_buf here;
  State state;
  uint3 index;
  int lane, warp, line;
  std::deque<Copy> copies;     // asynchronous, not yet done
  std::deque<size_t> groups;   // how many of them each committed group has
  size_t uncommitted;
};

struct Warp {
  unsigned char values[2][32][64];
  unsigned arrived, mask, live;
  int turn, line;
  const char* operation;
};

struct Launch {  // as the caller has it
  unsigned grid[3], block[3];
  size_t shared;
  unsigned seed;
  int count;  // of arguments
  void** values;
  const size_t* bytes;     // of each: of an array, or of a number
  const int* itemsizes;    // of an array's elements; 0: a number
  const int* writable;
};

static std::vector<Thread*> threads;  // a fiber serves the same thread of every block and of every later launch
static std::vector<Warp> warps;
static std::vector<int> order;
static size_t count, alive;
static Thread* current;
static jmp_buf scheduler;
static bool broken;  // a launch failed: its fibers stand somewhere in a kernel
static char fault[1024];
static void (*entry)(void**);
static void** entry_arguments;
static std::vector<Array> arrays;
static int at_barrier, barrier_line, barrier_sum, barrier_turn, barrier_result[2];
static size_t barriers_passed;
static bool released;  // threads that waited may go on
static unsigned launch_seed;

[[noreturn]] inline void fail(const char* format, ...) {
  int n = 0;
  if (current)
    n = snprintf(fault, sizeof fault, "block (%u, %u, %u), thread (%u, %u, %u): ", blockIdx.x, blockIdx.y, blockIdx.z,
                 current->index.x, current->index.y, current->index.z);
  va_list rest;
  va_start(rest, format);
  vsnprintf(fault + n, sizeof fault - n, format, rest);
  va_end(rest);
  _longjmp(scheduler, 2);
}

// Opaque to the compiler, which takes setjmp for a function that changes none of our variables: shared memory would be
// kept in registers over a barrier.
#define EMU_SWITCH __attribute__((noipa)) static

EMU_SWITCH void wait() {
  Thread* me = current;
  if (!_setjmp(me->here)) _longjmp(scheduler, 1);
  threadIdx = me->index;
}

inline void release_barrier() {
  barrier_result[barrier_turn & 1] = barrier_sum;
  barrier_turn++;
  barriers_passed++;
  released = true;
  at_barrier = barrier_sum = 0;
  for (size_t i = 0; i < count; i++)
    if (threads[i]->state == AT_BARRIER) threads[i]->state = READY;
}

// Waits for all threads that have not returned; the sum of `vote` over them.
inline int barrier(int line, int vote) {
  if (at_barrier && barrier_line != line)
    fail("divergent barrier: __syncthreads at line %d, while others wait at line %d", line, barrier_line);
  barrier_line = current->line = line;
  barrier_sum += vote;
  int turn = barrier_turn & 1;
  if (size_t(++at_barrier) == alive) release_barrier();
  else {
    current->state = AT_BARRIER;
    wait();
  }
  return barrier_result[turn];
}

inline void finish_thread() {
  Thread* me = current;
  if (!me->copies.empty()) fail("it returns with %zu asynchronous copies that nobody waited for", me->copies.size());
  me->state = DONE;
  alive--;
  warps[me->warp].live &= ~(1u << me->lane);
  if (at_barrier && size_t(at_barrier) == alive) release_barrier();
}

inline void run_fiber() {
  for (;;) {
    wait();
    entry(entry_arguments);
    finish_thread();
  }
}

EMU_SWITCH int resume(Thread* t) {  // until it waits or returns (1), or fails (2)
  int how = _setjmp(scheduler);
  if (how == 0) _longjmp(t->here, 1);
  return how;
}

EMU_SWITCH void start(ucontext_t* context) {
  if (!_setjmp(scheduler)) setcontext(context);
}

inline void make_fibers(size_t wanted) {
  static char* stacks = nullptr;
  if (!stacks) stacks = map_pages(MOST_THREADS * STACK);  // one mapping: a process may have some 65,000 of them
  if (broken) {
    for (Thread* t : threads) delete t;
    threads.clear();
    broken = false;
  }
  while (threads.size() < wanted) {
    size_t i = threads.size();
    threads.push_back(new Thread{});
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stacks + i * STACK;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, run_fiber, 0);
    current = threads[i];
    start(&context);
  }
  current = nullptr;
}

inline int deadlock() {
  int barrier = 0, warp = 0, line = 0;
  const char* operation = "";
  for (size_t i = 0; i < count; i++) {
    barrier += threads[i]->state == AT_BARRIER;
    if (threads[i]->state == AT_WARP) {
      warp++;
      line = threads[i]->line;
      operation = warps[threads[i]->warp].operation;
    }
  }
  int n = snprintf(fault, sizeof fault, "block (%u, %u, %u): deadlock: ", blockIdx.x, blockIdx.y, blockIdx.z);
  if (barrier) n += snprintf(fault + n, sizeof fault - n, "%d threads wait in __syncthreads at line %d", barrier, barrier_line);
  if (barrier && warp) n += snprintf(fault + n, sizeof fault - n, ", ");
  if (warp) snprintf(fault + n, sizeof fault - n, "%d threads wait in %s at line %d for lanes of its mask", warp, operation, line);
  return 1;
}

inline int run_block() {
  size_t left = count;
  while (left) {
    bool moved = false;
    for (size_t i = 0; i < count; i++) {
      Thread* t = threads[order[i]];
      if (t->state != READY) continue;
      moved = true;
      current = t;
      threadIdx = t->index;
      released = false;
      if (resume(t) == 2) return 1;
      left -= t->state == DONE;
      if (released && launch_seed) break;  // and begin again with the first
    }
    if (left && !moved) {
      current = nullptr;
      return deadlock();
    }
  }
  return 0;
}

inline void shuffle(std::vector<int>& numbers, unsigned seed) {
  if (seed == 1) std::reverse(numbers.begin(), numbers.end());
  uint64_t state = seed;
  for (size_t i = numbers.size(); seed > 1 && i > 1; i--) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    std::swap(numbers[i - 1], numbers[(state >> 33) % i]);
  }
}

inline std::vector<int> numbers(size_t n, unsigned seed) {
  std::vector<int> made(n);
  for (size_t i = 0; i < n; i++) made[i] = int(i);
  shuffle(made, seed);
  return made;
}

inline void begin_block(const Launch& launch, unsigned number) {
  const unsigned* g = launch.grid;
  const unsigned* b = launch.block;
  blockIdx = {number % g[0], number / g[0] % g[1], number / g[0] / g[1]};
  at_barrier = barrier_sum = barrier_turn = 0;
  alive = count;
  for (auto& w : warps) w.arrived = w.live = 0, w.turn = 0;
  for (size_t i = 0; i < count; i++) {
    Thread& t = *threads[i];
    t.state = READY;
    t.lane = int(i % 32), t.warp = int(i / 32);
    warps[t.warp].live |= 1u << t.lane;
    t.index = {unsigned(i % b[0]), unsigned(i / b[0] % b[1]), unsigned(i / b[0] / b[1])};
    t.copies.clear(), t.groups.clear(), t.uncommitted = 0;
  }
}

// What a forbidden page tells: which argument was missed, and by how much.
inline void on_fault(int, siginfo_t* info, void* context) {
  if (!current) _exit(139);
#if defined(__x86_64__)
  bool wrote = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_ERR] & 2;
  const char* did = wrote ? "writes" : "reads";
#else
  (void)context;
  const char* did = "touches";
#endif
  char* at = static_cast<char*>(info->si_addr);
  sigset_t these;
  sigemptyset(&these);
  sigaddset(&these, SIGSEGV);
  sigaddset(&these, SIGBUS);
  sigprocmask(SIG_UNBLOCK, &these, nullptr);
  for (const Array& a : arrays)
    if (at >= a.pages && at < a.pages + a.length) {
      if (at >= a.copy && at < a.copy + a.bytes)
        fail("it %s argument %d, of %d-byte elements, at a misaligned address", did, a.number, a.itemsize);
      fail("out of bounds: it %s element %td of argument %d, which has %zu", did,
           (at - a.copy - (at < a.copy ? a.itemsize - 1 : 0)) / a.itemsize, a.number, a.bytes / a.itemsize);
    }
  if (at >= dynamic_pages.data && at < dynamic_pages.data + dynamic_pages.bytes)
    fail("out of bounds: it %s byte %td of dynamic shared memory", did, at - dynamic_start);
  fail("it %s address %p, which is no memory of the kernel", did, static_cast<void*>(at));
}

struct Handlers {  // for the time of a launch
  struct sigaction segv, bus;
  stack_t before;
  Handlers() {
    static char* stack = static_cast<char*>(malloc(64 << 10));
    stack_t mine{};
    mine.ss_sp = stack;
    mine.ss_size = 64 << 10;
    sigaltstack(&mine, &before);
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &segv);
    sigaction(SIGBUS, &action, &bus);
  }
  ~Handlers() {
    sigaction(SIGSEGV, &segv, nullptr);
    sigaction(SIGBUS, &bus, nullptr);
    sigaltstack(&before, nullptr);
  }
};

inline int run_blocks(const Launch& launch) {
  Block statics{nullptr, 0};
  dl_iterate_phdr(find_tls, &statics);
  if (launch.shared > MOST_SHARED) {
    snprintf(fault, sizeof fault, "%zu bytes of dynamic shared memory; a block has at most %zu", launch.shared, MOST_SHARED);
    return 1;
  }
  Block dynamic = make_dynamic(launch.shared);
  int failed = 0;
  for (int number : numbers(size_t(launch.grid[0]) * launch.grid[1] * launch.grid[2], launch.seed)) {
    poison(statics, launch.seed);
    poison(dynamic, launch.seed);
    begin_block(launch, unsigned(number));
    if ((failed = run_block())) break;
  }
  drop_dynamic();
  return failed;
}

inline int run(void (*kernel)(void**), const Launch& launch) {
  fault[0] = 0;
  current = nullptr;
  barriers_passed = 0;
  count = size_t(launch.block[0]) * launch.block[1] * launch.block[2];
  size_t blocks = size_t(launch.grid[0]) * launch.grid[1] * launch.grid[2];
  if (!count || count > MOST_THREADS || !blocks || launch.block[2] > 64 || launch.grid[1] > 65535 || launch.grid[2] > 65535) {
    snprintf(fault, sizeof fault, "no GPU takes a grid of (%u, %u, %u) blocks of (%u, %u, %u) threads", launch.grid[0],
             launch.grid[1], launch.grid[2], launch.block[0], launch.block[1], launch.block[2]);
    return 1;
  }
  gridDim = dim3(launch.grid[0], launch.grid[1], launch.grid[2]);
  blockDim = dim3(launch.block[0], launch.block[1], launch.block[2]);
  entry = kernel;
  launch_seed = launch.seed;
  make_fibers(count);
  warps.assign((count + 31) / 32, Warp{});
  order = numbers(count, launch.seed);
  arrays.clear();
  std::vector<void*> values(launch.values, launch.values + launch.count);
  for (int i = 0; i < launch.count; i++)
    if (launch.itemsizes[i]) arrays.emplace_back(launch.values[i], launch.bytes[i], launch.itemsizes[i], launch.writable[i], i);
  std::vector<void*> pointers(launch.count);
  for (Array& a : arrays) {
    a.lend(launch.seed);
    pointers[a.number] = a.copy;
    values[a.number] = &pointers[a.number];
  }
  entry_arguments = values.data();
  int failed;
  {
    Handlers handlers;
    failed = run_blocks(launch);
  }
  for (Array& a : arrays) {
    ptrdiff_t at = a.spilled();
    if (!failed && at != PTRDIFF_MAX) {
      failed = 1;
      snprintf(fault, sizeof fault, "out of bounds: a thread wrote byte %td of argument %d, which has %zu", at, a.number, a.bytes);
    }
    if (!failed && !a.writable && memcmp(a.copy, a.theirs, a.bytes)) {
      failed = 1;
      snprintf(fault, sizeof fault, "a thread wrote to argument %d, which is read-only", a.number);
    }
    a.take_back();
  }
  broken = failed;
  return failed;
}

template <class... A, size_t... I> inline void call(void (*kernel)(A...), void** a, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_cv_t<std::remove_reference_t<A>>*>(a[I])...);
}
template <class... A> inline void call(void (*kernel)(A...), void** a) { call(kernel, a, std::index_sequence_for<A...>()); }

// What a kernel takes: bytes of each parameter, negative for a pointer (of what it points to), ended by 0.
template <class A> constexpr int parameter() {
  if constexpr (std::is_pointer<A>::value) return -int(sizeof(std::remove_pointer_t<A>));
  else return int(sizeof(A));
}
template <class... A> inline const int* signature(void (*)(A...)) {
  static const int sizes[] = {parameter<A>()..., 0};
  return sizes;
}

}  // namespace emu

extern "C" __attribute__((visibility("default"), used)) size_t emu_barriers() { return emu::barriers_passed; }
#if EMU_SANITIZED
extern "C" __attribute__((visibility("default"))) void __asan_on_error() {
  fprintf(stderr, "in block (%u, %u, %u), thread (%u, %u, %u)\n", blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x,
          threadIdx.y, threadIdx.z);
}
#endif

#define __syncthreads() emu::barrier(__LINE__, 0)
#define __syncthreads_count(p) emu::barrier(__LINE__, !!(p))
#define __syncthreads_or(p) (emu::barrier(__LINE__, !!(p)) > 0)
#define __syncthreads_and(p) (emu::barrier(__LINE__, !(p)) == 0)
