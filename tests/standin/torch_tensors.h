// What the operators of the stand-in for libtorch_cuda share.
#pragma once

#include <c10/cuda/CUDAStream.h>

#include "tests/standin/standin.h"
#include "trainer/torch.h"

namespace berth::standin {

inline cudaStream_t stream_of(at::Device device) { return c10::cuda::getCurrentCUDAStream(device.index()).stream(); }

// Operators of torch_memory.cc; all others run the CPU's.
inline constexpr const char* kMemoryOperators[] = {
    "empty.memory_format", "empty_strided", "copy_",          "resize_", "record_stream",
    "as_strided",          "view",          "_reshape_alias", "unfold"};

// From a tensor's first element to the end of its last, in memory.
inline size_t extent(const at::Tensor& tensor) {
  if (tensor.numel() == 0) return 0;
  int64_t last = 0;
  for (int64_t d = 0; d < tensor.dim(); ++d) last += (tensor.size(d) - 1) * tensor.stride(d);
  return static_cast<size_t>(last + 1) * tensor.element_size();
}
inline Access reads(const at::Tensor& tensor) { return {tensor.const_data_ptr(), extent(tensor), false}; }
inline Access writes(const at::Tensor& tensor) { return {tensor.const_data_ptr(), extent(tensor), true}; }

// A CPU tensor on the shadow of a CUDA tensor's memory.
at::Tensor on_shadow(const at::Tensor& tensor);

// The CPU generator behind the CUDA generator that an operator was given, or by default uses.
at::Generator host_generator(const std::optional<at::Generator>& generator, at::Device device);

}  // namespace berth::standin
