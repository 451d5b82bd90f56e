#include "tests/standin/memory.h"

#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/standin/fault.h"
#include "tests/standin/standin.h"

namespace berth::standin {
namespace {

constexpr size_t kPage = 4096, kAlignment = 256;
std::atomic<int> kernels_running{0};
struct sigaction previous;

size_t rounded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

void on_segv(int signal, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  if (address - kDevices >= kSize) {
    if ((previous.sa_flags & SA_SIGINFO) && previous.sa_sigaction) return previous.sa_sigaction(signal, info, context);
    sigaction(SIGSEGV, &previous, nullptr);  // the instruction runs again
    return;
  }
  char text[200];
  const int n = snprintf(text, sizeof text, "stand-in CUDA: %s device memory at %lx%s\n",
                         kernels_running > 0 ? "a kernel touched" : "the host touched", static_cast<unsigned long>(address),
                         kernels_running > 0 ? ", which is not allocated" : "");
  (void)!write(2, text, n);
  void* frames[60];
  backtrace_symbols_fd(frames, backtrace(frames, 60), 2);
  _exit(kFaultCode);
}

}  // namespace

Memory& Memory::instance() {
  static Memory& memory = *new Memory;  // never destroyed: streams use it until the process is gone
  return memory;
}

Memory::Memory() : top_(kDevices) {
  void* const at = reinterpret_cast<void*>(kDevices);
  file_ = memfd_create("standin-gpu", MFD_CLOEXEC);
  if (file_ < 0 || ftruncate(file_, kSize) != 0) fault("no file for device memory: ", strerror(errno));
  if (mmap(at, kSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) != at)
    fault("no address space for device memory: ", strerror(errno));
  void* frame;
  backtrace(&frame, 1);  // loads what it needs, which a signal handler must not
  struct sigaction action {};
  action.sa_sigaction = on_segv;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, &previous);
}

void Memory::put_pages(uintptr_t first, size_t bytes) {
  const auto offset = static_cast<off_t>(first - kDevices);
  void* const hidden = reinterpret_cast<void*>(first + kShadow);
  const int protection = exposed_ > 0 ? PROT_READ | PROT_WRITE : PROT_NONE;
  if (mmap(hidden, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, file_, offset) != hidden ||
      mmap(reinterpret_cast<void*>(first), bytes, protection, MAP_SHARED | MAP_FIXED, file_, offset) == MAP_FAILED)
    fault("no memory for ", bytes, " bytes of device memory: ", strerror(errno));
  memset(hidden, hollow() ? 0 : 0xff, bytes);
}

void Memory::remove_pages(uintptr_t first, size_t bytes) {
  munmap(reinterpret_cast<void*>(first + kShadow), bytes);
  mmap(reinterpret_cast<void*>(first), bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(first - kDevices), static_cast<off_t>(bytes));
}

void* Memory::allocate(size_t bytes, int device) {
  const size_t size = rounded(std::max<size_t>(bytes, 1), kAlignment), pages = rounded(size, kPage);
  const std::lock_guard lock(mutex_);
  if (used_[device] + pages > capacity(device)) return nullptr;
  if (top_ + pages + kPage > kDevices + kSize) fault("all device addresses are used up");
  const uintptr_t first = top_;
  put_pages(first, pages);
  top_ += pages + kPage;
  used_[device] += pages;
  peak_[device] = std::max(peak_[device], used_[device]);
  const uintptr_t begin = first + pages - size;
  blocks_[begin] = {begin, size, device};
  return reinterpret_cast<void*>(begin);
}

std::optional<Memory::Block> Memory::release(void* pointer) {
  const std::lock_guard lock(mutex_);
  const auto it = blocks_.find(reinterpret_cast<uintptr_t>(pointer));
  if (it == blocks_.end()) return {};
  const Block block = it->second;
  blocks_.erase(it);
  const size_t pages = rounded(block.bytes, kPage);
  remove_pages(block.begin + block.bytes - pages, pages);
  used_[block.device] -= pages;
  return block;
}

void* Memory::reserve(size_t bytes) {
  const std::lock_guard lock(mutex_);
  const uintptr_t first = rounded(top_, kGranularity);
  if (first + bytes + kPage > kDevices + kSize) return nullptr;
  top_ = first + rounded(bytes, kPage) + kPage;
  return reinterpret_cast<void*>(first);
}

bool Memory::take(size_t bytes, int device) {
  const std::lock_guard lock(mutex_);
  if (used_[device] + bytes > capacity(device)) return false;
  used_[device] += bytes;
  peak_[device] = std::max(peak_[device], used_[device]);
  return true;
}

void Memory::give_back(size_t bytes, int device) {
  const std::lock_guard lock(mutex_);
  used_[device] -= bytes;
}

void Memory::map(uintptr_t at, size_t bytes, int device) {
  const std::lock_guard lock(mutex_);
  put_pages(at, bytes);
  Block block{at, bytes, device};
  if (const auto next = blocks_.find(at + bytes); next != blocks_.end()) {
    block.bytes += next->second.bytes;
    blocks_.erase(next);
  }
  if (const auto behind = blocks_.lower_bound(at); behind != blocks_.begin()) {
    Block& before = std::prev(behind)->second;
    if (before.begin + before.bytes == at) {
      before.bytes += block.bytes;
      return;
    }
  }
  blocks_[at] = block;
}

bool Memory::unmap(uintptr_t at, size_t bytes) {
  const auto found = find(reinterpret_cast<void*>(at));
  if (!found || at + bytes > found->begin + found->bytes) return false;
  const std::lock_guard lock(mutex_);
  remove_pages(at, bytes);
  blocks_.erase(found->begin);
  if (at > found->begin) blocks_[found->begin] = {found->begin, at - found->begin, found->device};
  const uintptr_t end = at + bytes;
  if (const size_t rest = found->begin + found->bytes - end; rest > 0) blocks_[end] = {end, rest, found->device};
  return true;
}

std::optional<Memory::Block> Memory::find(const void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  const std::lock_guard lock(mutex_);
  auto it = blocks_.upper_bound(address);
  if (it == blocks_.begin()) return {};
  --it;
  if (address - it->second.begin >= it->second.bytes) return {};
  return it->second;
}

void* Memory::allocate_pinned(size_t bytes) {
  const size_t pages = rounded(std::max<size_t>(bytes, 1), kPage);
  void* const p = aligned_alloc(kPage, pages);
  if (!p) return nullptr;
  memset(p, 0xff, pages);
  const std::lock_guard lock(mutex_);
  pinned_[reinterpret_cast<uintptr_t>(p)] = pages;
  return p;
}

bool Memory::release_pinned(void* pointer) {
  const std::lock_guard lock(mutex_);
  if (pinned_.erase(reinterpret_cast<uintptr_t>(pointer)) == 0) return false;
  free(pointer);
  return true;
}

bool Memory::is_pinned(const void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  const std::lock_guard lock(mutex_);
  auto it = pinned_.upper_bound(address);
  if (it == pinned_.begin()) return false;
  --it;
  return address - it->first < it->second;
}

size_t Memory::capacity(int device) {
  const long all = setting("STANDIN_GPU_MB", 8192);
  return static_cast<size_t>(setting(("STANDIN_GPU_MB_" + std::to_string(device)).c_str(), all)) << 20;
}

size_t Memory::used(int device) {
  const std::lock_guard lock(mutex_);
  return used_[device];
}

size_t Memory::peak(int device) {
  const std::lock_guard lock(mutex_);
  return peak_[device];
}

void Memory::protect(int protection) {
  for (const auto& [begin, block] : blocks_) {
    const size_t pages = rounded(block.bytes, kPage);
    mprotect(reinterpret_cast<void*>(begin + block.bytes - pages), pages, protection);
  }
}

Memory::Exposed::Exposed() {
  Memory& memory = Memory::instance();
  const std::lock_guard lock(memory.mutex_);
  kernels_running = ++memory.exposed_;
  if (memory.exposed_ == 1) memory.protect(PROT_READ | PROT_WRITE);
}

Memory::Exposed::~Exposed() {
  Memory& memory = Memory::instance();
  const std::lock_guard lock(memory.mutex_);
  kernels_running = --memory.exposed_;
  if (memory.exposed_ == 0) memory.protect(PROT_NONE);
}

}  // namespace berth::standin
