// safetensors, Hugging Face's file of tensors (github.com/huggingface/safetensors, "Format"):
//
//   8 bytes   N, unsigned little-endian
//   N bytes   JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …, "__metadata__": {"k": "v"}},
//             begins with "{", may be padded with spaces
//   the rest  the data; offsets count from here, tensors follow each other without gap or overlap until the end
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/checkpoint/tensor_file.h"

namespace berth::train {

// Throws Error(kBadInput) naming file and tensor for whatever does not obey the format: a header above 100 MB or not JSON, a name
// twice, an unknown type, a size that is not dtype times shape, gaps, overlaps, a file that is too short or too long.
TensorFile parse_safetensors(std::shared_ptr<const ByteSource> bytes);

// A tensor in memory, row-major.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;
};

// Hands out the file piece by piece. The same tensors give the same bytes whatever their order: larger types first, then by name;
// the header is padded to 8 bytes and carries {"format": "pt"}, without which transformers refuses a file.
void write_safetensors(std::vector<TensorView> tensors, const std::function<void(std::string_view)>& sink);

}  // namespace berth::train
