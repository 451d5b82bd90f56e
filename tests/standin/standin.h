// What the stand-ins for NCCL and libtorch_cuda need of the one for CUDA beyond CUDA's own functions. libcudart.so.13 exports it.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "tests/standin/fault.h"
#include "tests/standin/memory.h"

// As CUDA's headers say, which the kernels' sources for CPUs cannot be compiled with.
typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;

namespace berth::standin {

class Stream;

struct Access {
  const void* begin;
  size_t bytes;
  bool write;
};

// An operation of a stream that runs on the calling thread: from when all that the stream holds has run, to this object's end. The host
// waits for it, which a GPU would not let it do; so what the host may know is a matter of clocks (order.h), not of time.
class Launch {
 public:
  Launch(cudaStream_t stream, const std::string& name);
  ~Launch();
  Launch(const Launch&) = delete;
  // What the operation touches: a fault if it is a race, no allocation, or another device's memory. Host memory is ignored.
  void touches(const Access& access);

 private:
  Stream& stream_;
};

// An operation that the stream's own thread runs, in the stream's order.
void enqueue(cudaStream_t stream, const std::string& name, const std::vector<Access>& accesses, std::function<void()> body);

// Whether what the event was recorded behind has run, for a cache of pinned memory: the memory may be written again, but the program has not
// asked and must not rely on the answer, which comes down to timing. cudaEventQuery, in contrast, orders what the host does next.
bool ended(cudaEvent_t event);

// The host waits until the stream is through; one more synchronisation under this name.
void synchronize(cudaStream_t stream, const std::string& name);

// STANDIN_HOLLOW: products and berth's own kernels are not computed, so that a profile of the host shows what berth itself takes.
inline bool hollow() {
  static const bool is = std::getenv("STANDIN_HOLLOW") != nullptr;
  return is;
}

// A device has been used by this process.
bool has_context(int device);

// For the report (report.h): one more of this kind, under this name.
void count(const std::string& kind, const std::string& name, long by = 1);

}  // namespace berth::standin
