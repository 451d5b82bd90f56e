#include "trainer/run/host_copy.h"

namespace berth::train {
namespace {

constexpr int64_t kAlignment = 16;  // elements

int64_t slot_of(const at::Tensor& tensor) { return (tensor.numel() + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

NamedTensors HostCopy::of(const NamedTensors& tensors) {
  at::NoGradGuard no_grad;
  int64_t elements = 0;
  const at::Tensor* last_of_device = nullptr;  // one stream copies all of them, so the host waits once
  for (const auto& [name, tensor] : tensors) {
    elements += slot_of(tensor);
    if (!tensor.is_cpu()) last_of_device = &tensor;
  }
  if (!memory_.defined() || memory_.numel() < elements)
    memory_ = at::empty({elements}, at::TensorOptions().dtype(at::kFloat).pinned_memory(last_of_device != nullptr));
  NamedTensors copies;
  int64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    at::Tensor copy = memory_.narrow(0, at, tensor.numel()).view(tensor.sizes());
    copy.copy_(tensor.detach(), /*non_blocking=*/&tensor != last_of_device);
    copies.emplace_back(name, std::move(copy));
    at += slot_of(tensor);
  }
  return copies;
}

void HostCopy::release() {
  if (memory_.defined() && !memory_.is_pinned()) memory_ = at::Tensor();
}

}  // namespace berth::train
