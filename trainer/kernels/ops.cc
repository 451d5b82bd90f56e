#include "trainer/kernels/ops.h"

#include <array>

#include "data/check.h"
#include "trainer/kernels/cpu_kernels.h"

namespace berth::train {
namespace {

using Registry = std::array<const Kernels*, at::COMPILE_TIME_MAX_DEVICE_TYPES>;

Registry& registry() {
  static const CpuKernels cpu(cpu::best_table());
  static Registry kernels = [] {
    Registry registry{};
    registry[static_cast<size_t>(at::kCPU)] = &cpu;
    return registry;
  }();
  return kernels;
}

}  // namespace

const Kernels& kernels_of(const at::Tensor& tensor) {
  const Kernels* kernels = registry()[static_cast<size_t>(tensor.device().type())];
  check_internal(kernels, "this program has no kernels for ", tensor.device().str());
  return *kernels;
}

void register_kernels(at::DeviceType device, const Kernels& kernels) { registry()[static_cast<size_t>(device)] = &kernels; }

at::Tensor Kernels::linear_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const {
  return at::addmm(bias, x, weight.t());
}

void Kernels::linear_backward_input(const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& dx, bool accumulate) const {
  if (accumulate)
    dx.addmm_(dy, weight);
  else
    at::mm_out(const_cast<at::Tensor&>(dx), dy, weight);
}

void Kernels::linear_backward_weight(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& grad, bool accumulate) const {
  const bool in_fp32 = dy.scalar_type() == at::kFloat;
  if (in_fp32 && accumulate)
    grad.addmm_(dy.t(), x);
  else if (in_fp32)
    at::mm_out(const_cast<at::Tensor&>(grad), dy.t(), x);
  else if (accumulate)
    grad.add_(at::mm(dy.t(), x));
  else
    grad.copy_(at::mm(dy.t(), x));
}

at::Tensor padded_places(const at::Tensor& lengths, int64_t width, int64_t rows) {
  const at::Tensor samples = at::repeat_interleave(lengths, std::optional<int64_t>(rows)), begins = lengths.cumsum(0) - lengths;
  return at::arange(rows, lengths.options()) - begins.index_select(0, samples) + samples * width;
}

}  // namespace berth::train
