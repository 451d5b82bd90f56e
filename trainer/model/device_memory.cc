#include "trainer/model/device_memory.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <sys/resource.h>

namespace berth::train {

DeviceMemory device_memory(at::Device device) {
  c10::DeviceAllocator& allocator = *c10::getDeviceAllocator(device.type());
  const auto stats = allocator.getDeviceStats(device.index());
  const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto [free, total] = allocator.getMemoryInfo(device.index());
  return {.used = stats.allocated_bytes[all].current,
          .peak = stats.allocated_bytes[all].peak,
          .usable = static_cast<int64_t>(free) + stats.reserved_bytes[all].current,
          .total = static_cast<int64_t>(total)};
}

void reset_peak(at::Device device) { c10::getDeviceAllocator(device.type())->resetPeakStats(device.index()); }

int64_t peak_host_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{1024} * usage.ru_maxrss;
}

}  // namespace berth::train
