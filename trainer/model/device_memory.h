// What of the memory is used.
#pragma once

#include <cstdint>

#include "trainer/torch.h"

namespace berth::train {

// Of a GPU, in bytes, as libtorch's allocator sees it (torch.cuda.memory_allocated, max_memory_allocated, mem_get_info).
struct DeviceMemory {
  int64_t used = 0;    // by tensors
  int64_t peak = 0;    // the most that was, since the process began or reset_peak()
  int64_t usable = 0;  // by tensors: what is free on the device, and what the allocator holds of it
  int64_t total = 0;   // of the device
};
DeviceMemory device_memory(at::Device device);
void reset_peak(at::Device device);

// The most of the host's memory that this process has had (its peak resident set), in bytes.
int64_t peak_host_memory();

}  // namespace berth::train
