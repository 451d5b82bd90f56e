// What every file of tensors comes down to: names, types, shapes, and where the bytes are. No torch, so that parsers can be
// fuzzed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/checkpoint/byte_source.h"

namespace berth::train {

enum class DType { kBool, kU8, kI8, kI16, kI32, kI64, kF16, kBF16, kF32, kF64 };

uint64_t dtype_size(DType dtype);
std::string_view dtype_name(DType dtype);  // safetensors' names: "F32"
std::optional<DType> find_dtype(std::string_view safetensors_name);

// One tensor of a file. What a parser returns has been checked: every element lies inside the file.
struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  // in elements, none negative
  uint64_t begin = 0;            // byte of the file where element [0, …, 0] is
};

struct TensorFile {
  std::shared_ptr<const ByteSource> bytes;
  std::vector<TensorInfo> tensors;              // sorted by name, no name twice
  std::map<std::string, std::string> metadata;  // safetensors' __metadata__

  const TensorInfo* find(std::string_view name) const;
};

// Product of the sizes; nothing if one is negative or the product is above 2^62.
std::optional<int64_t> element_count(std::span<const int64_t> shape);
std::vector<int64_t> row_major_strides(std::span<const int64_t> shape);
std::string shape_text(std::span<const int64_t> shape);  // "[2, 384]"

// Reads a floating point tensor (F16, BF16, F32, F64) as fp32 in row-major order; F32 stays bit for bit. `out` has exactly its
// element count. Throws Error(kBadInput) naming file and tensor for other types.
void read_f32(const TensorFile& file, const TensorInfo& tensor, std::span<float> out);

}  // namespace berth::train
