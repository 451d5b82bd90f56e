// What the program is doing: for NVIDIA's profilers (`nsys profile --trace=cuda,nvtx,mpi …` shows these ranges above the kernels), and for berth's own
// timeline (recording.h).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace berth::trace {

// A stretch of this thread's time, from here to the end of the scope; ranges nest. `name` is a literal; `bytes`, of what is communicated. Nothing
// but two tests of a pointer where nobody looks.
class Range {
 public:
  explicit Range(const char* name, int64_t bytes = 0);
  ~Range();
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;

 private:
  const char* name_;
  int64_t bytes_;
  uint64_t recording_;  // that it belongs to; 0: none
  std::chrono::steady_clock::time_point begin_ = {};
  size_t mark_ = 0;
};

}  // namespace berth::trace
