// What the program is doing, for NVIDIA's profilers: `nsys profile --trace=cuda,nvtx,mpi …` shows these ranges above the kernels.
#pragma once

namespace berth::trace {

// A stretch of this thread's time, from here to the end of the scope; ranges nest. `name` is a literal. Nothing but a test of a pointer
// where no profiler is attached, and nothing at all in a program that was built without NVTX's headers (they come with the CUDA
// toolkit).
class Range {
 public:
  explicit Range(const char* name);
  ~Range();
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
};

}  // namespace berth::trace
