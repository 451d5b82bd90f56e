// What a kernel of berth's own touches, access by access: its sources are compiled for the CPU (trainer/kernels/cuda/on_cpu.h) with the thread
// sanitizer's instrumentation, whose calls end here instead of in the sanitizer. So each launch is checked for races with other streams by what
// it really reads and writes, and its blocks, which run in any order and at once on a GPU, for races among themselves.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/standin/standin.h"

namespace berth::standin {

// Sees what this thread touches of device memory, as long as it lives.
class Watch {
 public:
  explicit Watch(const std::string& kernel);
  ~Watch();
  Watch(const Watch&) = delete;

  void touch(uintptr_t address, size_t bytes, bool write);
  std::vector<Access> accesses() const;

 private:
  static constexpr size_t kPage = 4096;
  static constexpr int32_t kNobody = -1, kSeveral = -2;
  struct Page {  // by byte, the blocks that have read and written it
    std::array<int32_t, kPage> reader, writer;
  };
  Page& page(uintptr_t number);

  const std::string kernel_;
  std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages_;
  uintptr_t last_number_ = 0;
  Page* last_ = nullptr;
};

}  // namespace berth::standin
