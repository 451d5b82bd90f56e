#include "trainer/model/device_memory.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <sys/resource.h>

namespace berth::train {

DeviceMemory device_memory(at::Device device) {
  c10::DeviceAllocator& allocator = *c10::getDeviceAllocator(device.type());
  const auto stats = allocator.getDeviceStats(device.index());
  const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto free = static_cast<int64_t>(allocator.getMemoryInfo(device.index()).first);
  return {.used = stats.allocated_bytes[all].current,
          .peak = stats.allocated_bytes[all].peak,
          .usable = free + stats.reserved_bytes[all].current};
}

void reset_peak(at::Device device) { c10::getDeviceAllocator(device.type())->resetPeakStats(device.index()); }

int64_t peak_host_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{1024} * usage.ru_maxrss;
}

}  // namespace berth::train
