// Tensors whose values follow from their names, as tests/golden/checkpoint_goldens.py makes them, and files of them.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "data/check.h"
#include "tests/support/temp_dir.h"
#include "trainer/checkpoint/safetensors.h"

namespace berth::train {

using test::read_bytes;
using test::TempDir;
using test::write_bytes;

// Element i of a tensor is (i + 1) / 8 + length of its name.
inline std::vector<float> named_values(const std::string& name, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i + 1) / 8.f + static_cast<float>(name.size());
  return values;
}

struct NamedShape {
  std::string name;
  std::vector<int64_t> shape;
};

// The bytes of a safetensors file of fp32 tensors with named_values.
inline std::string safetensors_bytes(const std::vector<NamedShape>& tensors) {
  std::vector<std::vector<float>> values;
  std::vector<TensorView> views;
  for (const NamedShape& tensor : tensors) values.push_back(named_values(tensor.name, *element_count(tensor.shape)));
  for (size_t i = 0; i < tensors.size(); ++i)
    views.push_back({tensors[i].name, DType::kF32, tensors[i].shape, std::as_bytes(std::span(values[i]))});
  std::string bytes;
  write_safetensors(views, [&](std::string_view piece) { bytes += piece; });
  return bytes;
}

inline std::vector<float> read_values(const TensorFile& file, const std::string& name) {
  const TensorInfo* tensor = file.find(name);
  if (tensor == nullptr) {
    ADD_FAILURE() << "no tensor " << name;
    return {};
  }
  std::vector<float> values(static_cast<size_t>(*element_count(tensor->shape)));
  read_f32(file, *tensor, values);
  return values;
}

inline std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(BERTH_SOURCE_DIR) / "tests/golden/checkpoint" / name;
}

// Runs `action`, which must throw Error(kBadInput) with all of `parts` in its message.
template <class Action>
void expect_refused(Action action, const std::vector<std::string>& parts) {
  try {
    action();
    ADD_FAILURE() << "nothing was refused; expected a message with: " << (parts.empty() ? "" : parts.front());
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadInput) << error.what();
    for (const std::string& part : parts)
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what() << "\nlacks: " << part;
  }
}

// For damaged files: either an error for the user or a result, nothing else. True if it was an error.
template <class Action>
bool refused_or_read(Action action) {
  try {
    action();
    return false;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadInput) << error.what();
    return true;
  }
}

}  // namespace berth::train
