// Devices of libtorch by GPU number.
#pragma once

#include "trainer/torch.h"

namespace berth::comm {

// `gpu` as in CommOptions: -1 is the CPU.
inline at::Device device_of(int gpu) {
  return gpu < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<at::DeviceIndex>(gpu));
}

}  // namespace berth::comm
