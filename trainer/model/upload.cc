#include "trainer/model/upload.h"

#include <cstring>

namespace berth::train {
namespace {

constexpr int64_t kAlignment = 64;

}  // namespace

void Upload::add(const void* values, int64_t count, at::ScalarType type, at::Tensor& result) {
  parts_.push_back({values, count, type, &result, bytes_});
  const int64_t bytes = count * static_cast<int64_t>(c10::elementSize(type));
  bytes_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

void Upload::send(at::Device device) {
  // Copies from pageable memory are waited for; pinned memory comes from ATen's cache, which gives it out again only after the copy.
  const at::Tensor host = at::empty({bytes_}, at::TensorOptions().dtype(at::kByte).pinned_memory(!device.is_cpu()));
  auto* bytes = host.mutable_data_ptr<uint8_t>();
  for (const Part& part : parts_)
    if (part.count > 0)
      std::memcpy(bytes + part.offset, part.values, static_cast<size_t>(part.count) * c10::elementSize(part.type));
  const at::Tensor memory = device.is_cpu() ? host : at::empty({bytes_}, host.options().pinned_memory(false).device(device));
  if (!device.is_cpu()) memory.copy_(host, /*non_blocking=*/true);
  for (const Part& part : parts_) {
    const int64_t size = static_cast<int64_t>(c10::elementSize(part.type));
    *part.result = memory.narrow(0, part.offset, part.count * size).view(part.type);
  }
  parts_.clear();
  bytes_ = 0;
}

}  // namespace berth::train
