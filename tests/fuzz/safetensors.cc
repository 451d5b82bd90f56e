#include "trainer/checkpoint/safetensors.h"

#include "tests/fuzz/tensors.h"
#include "tests/trainer/checkpoint/memory_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  fuzz::reads([&] {
    const auto file = train::parse_safetensors(train::memory_bytes(std::string(fuzz::text_of(data, size)), "model.safetensors"));
    fuzz::require_readable(file);
    uint64_t bytes = 0;
    for (const auto& tensor : file.tensors) {
      bytes += static_cast<uint64_t>(*train::element_count(tensor.shape)) * train::dtype_size(tensor.dtype);
      fuzz::require(tensor.strides == train::row_major_strides(tensor.shape), "safetensors are row-major");
    }
    fuzz::require(bytes < size, "tensors do not overlap");
  });
  return 0;
}
