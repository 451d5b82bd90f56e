// Reads the safetensors files that scripts in tests/golden write: fp32 and int64 tensors of files that are trusted.
#pragma once

#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "data/check.h"
#include "data/samples/batch.h"
#include "trainer/torch.h"

namespace berth::test {

using TensorMap = std::map<std::string, at::Tensor>;

inline std::string read_golden(const std::string& name) {
  const std::string path = std::string(BERTH_SOURCE_DIR) + "/tests/golden/" + name;
  std::ifstream in(path, std::ios::binary);
  check(in.good(), "cannot open ", path);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline TensorMap load_golden(const std::string& name) {
  const std::string bytes = read_golden(name);
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), sizeof(header_size));
  const auto header = nlohmann::json::parse(bytes.substr(8, header_size));
  TensorMap tensors;
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__") continue;
    const auto shape = entry["shape"].get<std::vector<int64_t>>();
    const at::ScalarType type = entry["dtype"] == "F32" ? at::kFloat : at::kLong;
    at::Tensor tensor = at::empty(shape, type);
    const size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    check(tensor.nbytes() == end - begin, "golden tensor ", key, " of type ", entry["dtype"].dump());
    std::memcpy(tensor.data_ptr(), bytes.data() + 8 + header_size + begin, end - begin);
    tensors[key] = tensor;
  }
  return tensors;
}

// The tensors of `tensors` whose names start with `prefix`, without it.
inline TensorMap under(const TensorMap& tensors, const std::string& prefix) {
  TensorMap result;
  for (const auto& [name, tensor] : tensors)
    if (name.starts_with(prefix)) result[name.substr(prefix.size())] = tensor;
  return result;
}

// The packed batches of model_golden.py and sequences_golden.py.
inline data::Batch golden_batch(const TensorMap& parts) {
  const auto ints = [&](const char* name) {
    std::vector<int32_t> values;
    if (const auto found = parts.find(name); found != parts.end())
      for (int64_t i = 0; i < found->second.numel(); ++i)
        values.push_back(static_cast<int32_t>(found->second.data_ptr<int64_t>()[i]));
    return values;
  };
  data::Batch batch;
  for (const int32_t id : ints("sample_ids")) batch.sample_ids.push_back(id);
  for (const int32_t id : ints(parts.contains("sequence_ids") ? "sequence_ids" : "sample_ids")) batch.sequence_ids.push_back(id);
  batch.cu_samples = ints("cu_samples");
  if (batch.cu_samples.empty())  // one sequence each
    for (int32_t b = 0; b <= batch.size(); ++b) batch.cu_samples.push_back(b);
  batch.cu_seqlens = ints("cu_seqlens");
  batch.input_ids = ints("input_ids");
  batch.token_type_ids = ints("token_type_ids");
  batch.position_ids = ints("position_ids");
  batch.labels = ints("labels");
  for (const int32_t label : ints("next_sentence_labels")) batch.labels.push_back(label);
  if (const auto found = parts.find("float_labels"); found != parts.end())
    batch.float_labels.assign(found->second.data_ptr<float>(), found->second.data_ptr<float>() + found->second.numel());
  return batch;
}

// Largest absolute difference over the largest absolute value (of `expected`, at least `floor`).
inline double relative_error(const at::Tensor& actual, const at::Tensor& expected, double floor = 1e-6) {
  if (actual.numel() != expected.numel()) return std::numeric_limits<double>::infinity();
  if (expected.numel() == 0) return 0;
  const at::Tensor a = actual.detach().to(at::kDouble).flatten(), e = expected.detach().to(at::kDouble).flatten();
  const double error = (a - e).abs().max().item<double>();
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error / std::max(e.abs().max().item<double>(), floor);
}

}  // namespace berth::test
