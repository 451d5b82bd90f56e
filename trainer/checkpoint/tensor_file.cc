#include "trainer/checkpoint/tensor_file.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "data/check.h"
#include "data/words.h"

namespace berth::train {
namespace {

struct DTypeRow {
  DType dtype;
  std::string_view name;
  uint64_t size;
};

constexpr DTypeRow kDTypes[] = {{DType::kBool, "BOOL", 1}, {DType::kU8, "U8", 1},     {DType::kI8, "I8", 1},
                                {DType::kI16, "I16", 2},   {DType::kI32, "I32", 4},   {DType::kI64, "I64", 8},
                                {DType::kF16, "F16", 2},   {DType::kBF16, "BF16", 2}, {DType::kF32, "F32", 4},
                                {DType::kF64, "F64", 8}};

const DTypeRow& row_of(DType dtype) {
  return *std::find_if(std::begin(kDTypes), std::end(kDTypes), [&](const DTypeRow& row) { return row.dtype == dtype; });
}

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// IEEE 754 binary16 to binary32: exact.
float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16, exponent = half >> 10 & 0x1Fu, mantissa = half & 0x3FFu;
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  const uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

float to_float(DType dtype, const std::byte* from) {
  switch (dtype) {
    case DType::kF16:
      return half_to_float(load<uint16_t>(from));
    case DType::kBF16:
      return std::bit_cast<float>(static_cast<uint32_t>(load<uint16_t>(from)) << 16);
    case DType::kF64:
      return static_cast<float>(load<double>(from));
    default:
      return load<float>(from);
  }
}

}  // namespace

uint64_t dtype_size(DType dtype) { return row_of(dtype).size; }
std::string_view dtype_name(DType dtype) { return row_of(dtype).name; }

std::optional<DType> find_dtype(std::string_view name) {
  for (const DTypeRow& row : kDTypes) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

const TensorInfo* TensorFile::find(std::string_view name) const {
  const auto found =
      std::lower_bound(tensors.begin(), tensors.end(), name, [](const TensorInfo& t, std::string_view n) { return t.name < n; });
  return found != tensors.end() && found->name == name ? &*found : nullptr;
}

std::optional<int64_t> element_count(std::span<const int64_t> shape) {
  constexpr int64_t kMost = int64_t{1} << 62;
  int64_t count = 1;
  bool empty = false;
  for (int64_t size : shape) {
    if (size < 0) return std::nullopt;
    if (size == 0) {
      empty = true;
    } else if (count > kMost / size) {
      return std::nullopt;
    } else {
      count *= size;
    }
  }
  return empty ? 0 : count;
}

std::vector<int64_t> row_major_strides(std::span<const int64_t> shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= std::max<int64_t>(1, shape[d]);
  }
  return strides;
}

std::string shape_text(std::span<const int64_t> shape) { return concat("[", joined(shape), "]"); }

void read_f32(const TensorFile& file, const TensorInfo& tensor, std::span<float> out) {
  const auto count = element_count(tensor.shape);
  check_internal(count && static_cast<uint64_t>(*count) == out.size(), tensor.name, ": wants ", out.size(), " elements of ",
                 shape_text(tensor.shape));
  const bool floating = tensor.dtype >= DType::kF16;
  check(floating, file.bytes->name(), ": ", tensor.name, " has type ", dtype_name(tensor.dtype),
        ", expected one of F32, F16, BF16, F64");
  if (out.empty()) return;
  const bool row_major = tensor.strides == row_major_strides(tensor.shape);
  if (row_major && tensor.dtype == DType::kF32) return file.bytes->read(tensor.begin, std::as_writable_bytes(out));

  const uint64_t size = dtype_size(tensor.dtype);
  uint64_t last = 0;
  for (size_t d = 0; d < tensor.shape.size(); ++d) last += static_cast<uint64_t>((tensor.shape[d] - 1) * tensor.strides[d]);
  const std::string raw = file.bytes->read_string(tensor.begin, (last + 1) * size, tensor.name);
  const std::byte* base = reinterpret_cast<const std::byte*>(raw.data());
  std::vector<int64_t> index(tensor.shape.size(), 0);
  uint64_t at = 0;  // element within raw
  for (float& value : out) {
    value = to_float(tensor.dtype, base + at * size);
    for (size_t d = index.size(); d-- > 0;) {
      at += static_cast<uint64_t>(tensor.strides[d]);
      if (++index[d] < tensor.shape[d]) break;
      at -= static_cast<uint64_t>(tensor.shape[d] * tensor.strides[d]);
      index[d] = 0;
    }
  }
}

}  // namespace berth::train
