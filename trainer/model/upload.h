// Values of the host on their way to a device.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "trainer/torch.h"

namespace berth::train {

// Many small arrays, in one copy that the host does not wait for:
//   Upload upload;
//   upload.add(std::span<const int32_t>(ids), batch.ids);
//   …
//   upload.send(device);  // now batch.ids is a tensor [ids.size()] there
// Tensors are views of one piece of memory, each aligned to 64 bytes. On the CPU they are a copy, too.
class Upload {
 public:
  // int32_t, int64_t and float. Both must live until send().
  template <class T>
  void add(std::span<const T> values, at::Tensor& result) {
    add(values.data(), static_cast<int64_t>(values.size()), c10::CppTypeToScalarType<T>::value, result);
  }
  void send(at::Device device);

 private:
  struct Part {
    const void* values;
    int64_t count;
    at::ScalarType type;
    at::Tensor* result;
    int64_t offset;  // in bytes
  };
  void add(const void* values, int64_t count, at::ScalarType type, at::Tensor& result);

  std::vector<Part> parts_;
  int64_t bytes_ = 0;
};

// One array alone.
template <class T>
at::Tensor uploaded(std::span<const T> values, at::Device device) {
  at::Tensor result;
  Upload upload;
  upload.add(values, result);
  upload.send(device);
  return result;
}

}  // namespace berth::train
