#include "trainer/kernels/optimizer.h"

#include <array>

namespace berth::train {
namespace {

std::array<const OptimizerKernels*, at::COMPILE_TIME_MAX_DEVICE_TYPES> registry{};

}  // namespace

const OptimizerKernels* optimizer_kernels(at::DeviceType device) { return registry[static_cast<size_t>(device)]; }

void register_optimizer_kernels(at::DeviceType device, const OptimizerKernels* kernels) {
  registry[static_cast<size_t>(device)] = kernels;
}

}  // namespace berth::train
