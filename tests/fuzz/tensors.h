// What must hold of a file of tensors that was accepted.
#pragma once

#include <algorithm>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "trainer/checkpoint/hf_names.h"
#include "trainer/checkpoint/tensor_file.h"

namespace berth::fuzz {

// Names rise, every tensor can be read whole, and the names have places in a model.
inline void require_readable(const train::TensorFile& file) {
  constexpr int64_t kMost = 1 << 20;
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    const train::TensorInfo& tensor = file.tensors[i];
    require(i == 0 || file.tensors[i - 1].name < tensor.name, "names are sorted and differ");
    const auto count = train::element_count(tensor.shape);
    require(count.has_value() && tensor.strides.size() == tensor.shape.size(), "shapes and strides are possible");
    if (*count > 0) {
      uint64_t last = tensor.begin + train::dtype_size(tensor.dtype) - 1;
      for (size_t d = 0; d < tensor.shape.size(); ++d)
        last += static_cast<uint64_t>(tensor.shape[d] - 1) * static_cast<uint64_t>(tensor.strides[d]) *
                train::dtype_size(tensor.dtype);
      require(last < file.bytes->size(), "elements lie inside the file");
    }
    if (*count <= kMost && tensor.dtype >= train::DType::kF16) {
      std::vector<float> values(static_cast<size_t>(*count));
      train::read_f32(file, tensor, values);
    }
    for (const char* family : {"Bert", "DistilBert", "Electra"}) {
      const std::string name = train::canonical_name(tensor.name, family).name;
      train::name_in_file(name, concat(family, "ForMaskedLM"));
    }
  }
}

}  // namespace berth::fuzz
