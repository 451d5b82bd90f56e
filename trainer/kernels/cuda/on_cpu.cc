#include "trainer/kernels/cuda/on_cpu.h"

#include <sys/mman.h>

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#ifndef __x86_64__
#include <ucontext.h>
#endif

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace berth::train::cuda::on_cpu {

thread_local constinit Running running;
constinit Queue queue = [](const void*, Stream, const std::function<void()>& run) { run(); };

namespace {

constexpr unsigned kMaxThreads = 1024;      // of a block, on every GPU
constexpr size_t kMaxShared = 227u << 10;   // of a block, on an H100
constexpr size_t kStackBytes = 256u << 10;  // of a fiber, mapped when touched
constexpr size_t kGuardBytes = 4096;

// Where a fiber, or who runs the fibers, goes on: ucontext's swapcontext would do a system call each time.
#ifdef __x86_64__
using Context = void*;  // the stack pointer, registers lie on the stack

// Keeps what a called function must keep, on the stack; goes on where `to` was left.
__attribute__((naked, noinline)) void switch_context(Context*, Context*) {
  asm(R"(
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
  )");
}

void prepare_context(Context& context, unsigned char* stack, size_t bytes, void (*enter)()) {
  // As if enter had been called: its frame begins 8 bytes below a multiple of 16.
  auto* top = reinterpret_cast<uint64_t*>(stack + bytes) - 2;
  *top = reinterpret_cast<uint64_t>(enter);
  for (int i = 1; i <= 6; ++i) top[-i] = 0;  // the registers
  context = top - 6;
}
#else
using Context = ucontext_t;

void switch_context(Context* from, Context* to) { swapcontext(from, to); }

void prepare_context(Context& context, unsigned char* stack, size_t bytes, void (*enter)()) {
  getcontext(&context);
  context.uc_stack = {stack, 0, bytes};
  context.uc_link = nullptr;
  makecontext(&context, enter, 0);
}
#endif

class Stack {
 public:
  Stack() {
    void* p =
        mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) fault("no memory for a thread's stack");
    memory_ = static_cast<unsigned char*>(p);
    mprotect(memory_, kGuardBytes, PROT_NONE);
  }
  ~Stack() { munmap(memory_, kGuardBytes + kStackBytes); }
  Stack(const Stack&) = delete;
  unsigned char* begin() const { return memory_ + kGuardBytes; }

 private:
  unsigned char* memory_;
};

enum class State { kReady, kAtWarp, kAtBlock, kDone };

struct Fiber {
  Stack stack;
  Context context{};
  State state = State::kReady;
  dim3 thread;
  unsigned number = 0;
  Site site;  // where it waits
  uint32_t mask = 0;
  void* mine = nullptr;
  Meeting meeting = nullptr;
  void* shadow = nullptr;  // the address sanitizer's
};

const char* name_of(State state) {
  return state == State::kAtWarp    ? "waits for its warp"
         : state == State::kAtBlock ? "waits for its block"
                                    : "has left the kernel";
}

// The block that runs, and what is kept for those that follow.
class Machine {
 public:
  void launch(dim3 grid, dim3 block, size_t shared, const std::function<void()>& body) {
    const uint64_t threads = uint64_t{block.x} * block.y * block.z, blocks = uint64_t{grid.x} * grid.y * grid.z;
    if (body_ != nullptr) fault("a kernel is launched by a kernel");
    if (threads == 0 || threads > kMaxThreads) fault("a block of no threads, or of more than 1024");
    if (blocks == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) fault("an empty or too large grid");
    if (shared > kMaxShared) fault("more than 227 KiB of shared memory");
    body_ = &body;
    while (fibers_.size() < threads) fibers_.push_back(std::make_unique<Fiber>());
    shared_.resize(shared + 1023);
    running.dynamic_shared = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(shared_.data()) + 1023) / 1024 * 1024);
    running.block_size = block;
    running.grid_size = grid;
    shuffle(blocks_, blocks);
    for (const uint32_t b : blocks_) {
      running.block = dim3(b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y);
      memset(running.dynamic_shared, 0xFF, shared);
      run_block(block, static_cast<unsigned>(threads));
    }
    body_ = nullptr;
  }

  void seed(uint64_t seed) { random_ = seed * 2 + 1; }

  void meet_block(const Site& site) {
    Fiber& fiber = *fibers_[now_];
    fiber.state = State::kAtBlock;
    fiber.site = site;
    ++at_block_;
    if (at_block_ == threads_) {
      for (unsigned i = 0; i < threads_; ++i) {
        const Fiber& other = *fibers_[i];
        if (other.site.line() != site.line() || other.site.column() != site.column()) fault_threads(fiber, other);
      }
      for (unsigned i = 0; i < threads_; ++i) make_ready(*fibers_[i]);
      at_block_ = 0;
    }
    leave();
  }

  void meet_warp(uint32_t mask, void* mine, Meeting meeting, const Site& site) {
    Fiber& fiber = *fibers_[now_];
    if ((mask >> now_ % 32 & 1) == 0) fault("a lane is not in the mask that it gives", site);
    fiber.state = State::kAtWarp;
    fiber.site = site;
    fiber.mask = mask;
    fiber.mine = mine;
    fiber.meeting = meeting;
    const unsigned warp = now_ / 32;
    at_warp_[warp] |= 1u << now_ % 32;
    if ((at_warp_[warp] & mask) == mask) {
      void* lanes[32] = {};
      for (unsigned i = 0; i < 32; ++i) {
        if ((mask >> i & 1) == 0) continue;
        const Fiber& other = *fibers_[warp * 32 + i];
        if (other.mask != mask || other.meeting != meeting) fault_threads(fiber, other);
        lanes[i] = other.mine;
      }
      meeting(lanes);
      for (unsigned i = 0; i < 32; ++i)
        if ((mask >> i & 1) != 0) make_ready(*fibers_[warp * 32 + i]);
      at_warp_[warp] &= ~mask;
    }
    leave();
  }

 private:
  uint32_t draw() {  // xorshift64*
    random_ ^= random_ >> 12;
    random_ ^= random_ << 25;
    random_ ^= random_ >> 27;
    return static_cast<uint32_t>(random_ * 0x2545F4914F6CDD1Du >> 32);
  }
  uint32_t below(uint64_t n) { return static_cast<uint32_t>(draw() * n >> 32); }  // n at most 2^32
  // 0 to n - 1, shuffled while it is filled.
  void shuffle(std::vector<uint32_t>& order, uint64_t n) {
    order.resize(n);
    for (uint32_t i = 0; i < n; ++i) {
      const uint32_t other = below(i + 1);
      order[i] = order[other];
      order[other] = i;
    }
  }

  void rank_threads() {
    lasting_ = static_cast<Lasting>(below(3));
    const bool of_warps = lasting_ == Lasting::kOfWarps;
    shuffle(order_, of_warps ? (threads_ + 31) / 32 : threads_);
    for (unsigned i = 0; i < threads_; ++i) {
      ranks_[i] = of_warps ? order_[i / 32] * 32 + i % 32 : order_[i];
      of_rank_[ranks_[i]] = i;
    }
  }

  void make_ready(Fiber& fiber) {
    fiber.state = State::kReady;
    const uint32_t rank = ranks_[fiber.number];
    ready_[rank / 32] |= 1u << rank % 32;
    any_ready_ |= 1u << rank / 32;
  }

  // The highest bit that is set, those below `first` counted as higher than the others.
  static unsigned highest(uint32_t bits, unsigned first) {
    return (31 - std::countl_zero(std::rotr(bits, static_cast<int>(first))) + first) % 32;
  }
  unsigned take_ready() {
    const uint32_t chance = lasting_ == Lasting::kOfThreads ? 0 : draw();
    const unsigned word = highest(any_ready_, lasting_ == Lasting::kNot ? chance / 32 % 32 : 0),
                   bit = highest(ready_[word], chance % 32);
    ready_[word] &= ~(1u << bit);
    if (ready_[word] == 0) any_ready_ &= ~(1u << word);
    return of_rank_[word * 32 + bit];
  }

  void run_block(dim3 block, unsigned threads) {
    threads_ = threads;
    at_block_ = 0;
    memset(at_warp_, 0, sizeof(at_warp_));
    rank_threads();
    for (unsigned i = 0; i < threads; ++i) {
      Fiber& fiber = *fibers_[i];
      fiber.number = i;
      fiber.thread = dim3(i % block.x, i / block.x % block.y, i / block.x / block.y);
      // Stacks that begin alike would lie in the same few lines of the cache.
      prepare_context(fiber.context, fiber.stack.begin(), kStackBytes - i % 32 * 128, enter);
      make_ready(fiber);
    }
    unsigned done = 0;
    while (any_ready_ != 0) {
      now_ = take_ready();
      Fiber& fiber = *fibers_[now_];
      running.thread = fiber.thread;
      running.lane = now_ % 32;
      go_to(fiber);
      done += fiber.state == State::kDone;
    }
    if (done < threads) {  // two that will never meet
      const Fiber* waiting = nullptr;
      for (unsigned i = 0; i < threads && waiting == nullptr; ++i)
        if (fibers_[i]->state != State::kDone) waiting = fibers_[i].get();
      const Fiber* other = nullptr;
      for (unsigned i = 0; i < threads && other == nullptr; ++i)
        if (fibers_[i]->state != waiting->state) other = fibers_[i].get();
      fault_threads(*waiting, other == nullptr ? *waiting : *other);
    }
  }

  // A thread's whole life. Never returns: its stack begins here. The address sanitizer would take what it leaves there for the next
  // thread's.
  __attribute__((no_sanitize("address"))) static void enter();

  void go_to(Fiber& fiber) {
#ifdef __SANITIZE_ADDRESS__
    void* shadow;
    __sanitizer_start_switch_fiber(&shadow, fiber.stack.begin(), kStackBytes);
    switch_context(&scheduler_, &fiber.context);
    __sanitizer_finish_switch_fiber(shadow, nullptr, nullptr);
#else
    switch_context(&scheduler_, &fiber.context);
#endif
  }

  // Lets another thread run until this one is chosen again.
  void leave() {
    Fiber& fiber = *fibers_[now_];
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(fiber.state == State::kDone ? nullptr : &fiber.shadow, scheduler_stack_,
                                   scheduler_stack_bytes_);
    switch_context(&fiber.context, &scheduler_);
    arrived(fiber);
#else
    switch_context(&fiber.context, &scheduler_);
#endif
  }

  void arrived([[maybe_unused]] Fiber& fiber) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fiber.shadow, &scheduler_stack_, &scheduler_stack_bytes_);
#endif
  }

  [[noreturn]] void fault_threads(const Fiber& a, const Fiber& b) {
    fprintf(stderr, "threads of a block part: thread %u %s", a.number, name_of(a.state));
    if (a.state != State::kDone) fprintf(stderr, " at %s:%u", a.site.file_name(), static_cast<unsigned>(a.site.line()));
    fprintf(stderr, ", thread %u %s", b.number, name_of(b.state));
    if (b.state != State::kDone) fprintf(stderr, " at %s:%u", b.site.file_name(), static_cast<unsigned>(b.site.line()));
    fprintf(stderr, "\n");
    abort();
  }

  const std::function<void()>* body_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  // Threads that can go on, a bit for each rank, of which the highest does. In a third of the blocks threads keep their ranks, so that one
  // may stay behind until all others wait for it; in another, warps do, and chance says which of their lanes; in another, it says which thread.
  enum class Lasting { kNot, kOfThreads, kOfWarps } lasting_ = Lasting::kNot;
  uint32_t ready_[kMaxThreads / 32] = {}, any_ready_ = 0;  // any_ready_: which words of ready_ are not 0
  uint32_t ranks_[kMaxThreads] = {}, of_rank_[kMaxThreads] = {};
  std::vector<uint32_t> blocks_, order_;
  std::vector<unsigned char> shared_;
  unsigned threads_ = 0, now_ = 0, at_block_ = 0;
  uint32_t at_warp_[kMaxThreads / 32] = {};  // lanes that wait
  uint64_t random_ = 1;
  Context scheduler_{};
  [[maybe_unused]] const void* scheduler_stack_ = nullptr;
  [[maybe_unused]] size_t scheduler_stack_bytes_ = 0;
};

thread_local Machine machine;

void Machine::enter() {
  Fiber& fiber = *machine.fibers_[machine.now_];
  fiber.shadow = nullptr;
  machine.arrived(fiber);
  (*machine.body_)();
  fiber.state = State::kDone;
  machine.leave();
}

}  // namespace

void launch(dim3 grid, dim3 block, size_t shared, const std::function<void()>& body) {
  machine.launch(grid, block, shared, body);
}
void seed_order(uint64_t seed) { machine.seed(seed); }
void meet_block(const Site& site) { machine.meet_block(site); }
void meet_warp(uint32_t mask, void* mine, Meeting meeting, const Site& site) { machine.meet_warp(mask, mine, meeting, site); }

void fault(const char* what, const Site& site) {
  fprintf(stderr, "%s: thread (%u, %u, %u) of block (%u, %u, %u), at %s:%u\n", what, running.thread.x, running.thread.y,
          running.thread.z, running.block.x, running.block.y, running.block.z, site.file_name(),
          static_cast<unsigned>(site.line()));
  abort();
}

}  // namespace berth::train::cuda::on_cpu
