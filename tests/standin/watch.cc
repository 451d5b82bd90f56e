#include "tests/standin/watch.h"

#include <algorithm>

#include "trainer/kernels/cuda/on_cpu.h"

namespace berth::standin {
namespace {

thread_local Watch* watch = nullptr;

int32_t running_block() {
  const auto& running = train::cuda::on_cpu::running;
  return static_cast<int32_t>((running.block.z * running.grid_size.y + running.block.y) * running.grid_size.x + running.block.x);
}

}  // namespace

Watch::Watch(const std::string& kernel) : kernel_(kernel) { watch = this; }
Watch::~Watch() { watch = nullptr; }

Watch::Page& Watch::page(uintptr_t number) {
  if (last_ && number == last_number_) return *last_;
  std::unique_ptr<Page>& page = pages_[number];
  if (!page) {
    page = std::make_unique<Page>();
    page->reader.fill(kNobody);
    page->writer.fill(kNobody);
  }
  last_number_ = number;
  return *(last_ = page.get());
}

void Watch::touch(uintptr_t address, size_t bytes, bool write) {
  const int32_t block = running_block();
  for (uintptr_t at = address; at < address + bytes;) {
    Page& in = page(at / kPage);
    const uintptr_t end = std::min(address + bytes, (at / kPage + 1) * kPage);
    for (; at < end; ++at) {
      int32_t &reader = in.reader[at % kPage], &writer = in.writer[at % kPage];
      const bool other_writer = writer != kNobody && writer != block, other_reader = reader != kNobody && reader != block;
      if (other_writer || (write && other_reader))
        fault("race between blocks of ", kernel_, ": block ", block, write ? " writes " : " reads ", reinterpret_cast<void*>(at),
              ", which ", other_writer ? "another block writes" : "another block reads");
      if (write)
        writer = block;
      else
        reader = other_reader ? kSeveral : block;
    }
  }
}

std::vector<Access> Watch::accesses() const {
  std::vector<uintptr_t> numbers;
  for (const auto& [number, page] : pages_) numbers.push_back(number);
  std::sort(numbers.begin(), numbers.end());
  std::vector<Access> accesses;
  for (const bool write : {false, true}) {
    uintptr_t begin = 0, end = 0;
    const auto flush = [&] {
      if (end > begin) accesses.push_back({reinterpret_cast<const void*>(begin), end - begin, write});
    };
    for (const uintptr_t number : numbers) {
      const auto& blocks = write ? pages_.at(number)->writer : pages_.at(number)->reader;
      for (size_t i = 0; i < kPage; ++i) {
        if (blocks[i] == kNobody) continue;
        const uintptr_t at = number * kPage + i;
        if (at != end) {
          flush();
          begin = at;
        }
        end = at + 1;
      }
    }
    flush();
  }
  return accesses;
}

namespace {

void see(const void* address, size_t bytes, bool write) {
  if (watch && is_device(address)) watch->touch(reinterpret_cast<uintptr_t>(address), bytes, write);
}

}  // namespace
}  // namespace berth::standin

// What GCC's -fsanitize=thread calls.
#define BERTH_SEES(bytes)                                                              \
  void __tsan_read##bytes(void* p) { berth::standin::see(p, bytes, false); }           \
  void __tsan_write##bytes(void* p) { berth::standin::see(p, bytes, true); }           \
  void __tsan_unaligned_read##bytes(void* p) { berth::standin::see(p, bytes, false); } \
  void __tsan_unaligned_write##bytes(void* p) { berth::standin::see(p, bytes, true); }
extern "C" {
BERTH_SEES(1)
BERTH_SEES(2)
BERTH_SEES(4)
BERTH_SEES(8)
BERTH_SEES(16)
void __tsan_read_range(void* p, long bytes) { berth::standin::see(p, bytes, false); }
void __tsan_write_range(void* p, long bytes) { berth::standin::see(p, bytes, true); }
void __tsan_vptr_update(void*, void*) {}
void __tsan_vptr_read(void*) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
}
