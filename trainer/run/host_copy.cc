#include "trainer/run/host_copy.h"

#include <cstring>

#include "data/check.h"

namespace berth::train {
namespace {

constexpr int64_t kAlignment = 16;  // elements

int64_t slot_of(const at::Tensor& tensor) { return (tensor.numel() + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

void HostCopy::begin(const NamedTensors& tensors) {
  at::NoGradGuard no_grad;
  int64_t elements = 0;
  const at::Tensor* last_of_device = nullptr;  // one stream copies all of them, so the host waits once
  for (const auto& [name, tensor] : tensors) {
    elements += slot_of(tensor);
    if (!tensor.is_cpu()) last_of_device = &tensor;
  }
  if (!memory_.defined() || memory_.numel() < elements)
    memory_ = at::empty({elements}, at::TensorOptions().dtype(at::kFloat).pinned_memory(last_of_device != nullptr));
  copies_.clear();
  left_.clear();
  int64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    at::Tensor copy = memory_.narrow(0, at, tensor.numel()).view(tensor.sizes());
    if (last_of_device != nullptr)
      copy.copy_(tensor.detach(), /*non_blocking=*/&tensor != last_of_device);
    else
      left_.push_back(tensor.detach());
    copies_.emplace_back(name, std::move(copy));
    at += slot_of(tensor);
  }
}

// Training has its threads at work meanwhile: no further ones.
NamedTensors HostCopy::finish() {
  for (size_t i = 0; i < left_.size(); ++i) {
    check_internal(left_[i].is_contiguous() && left_[i].scalar_type() == at::kFloat, copies_[i].first, " is no plain tensor");
    std::memcpy(copies_[i].second.mutable_data_ptr(), left_[i].const_data_ptr(), left_[i].nbytes());
  }
  left_.clear();
  return std::move(copies_);
}

void HostCopy::release() {
  if (memory_.defined() && !memory_.is_pinned()) memory_ = at::Tensor();
}

}  // namespace berth::train
