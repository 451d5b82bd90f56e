// Rows of a head's outputs as plain numbers, and numbers as people read them.
#pragma once

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "data/check.h"
#include "data/samples/record.h"
#include "trainer/model/config.h"
#include "trainer/tasks/prediction_options.h"
#include "trainer/torch.h"

namespace berth::train {

// Row b of a contiguous [B, C] tensor on the CPU.
template <class T = float>
std::span<const T> row_of(const at::Tensor& values, int64_t b) {
  const int64_t width = values.size(1);
  return {values.const_data_ptr<T>() + b * width, static_cast<size_t>(width)};
}

// The first of the largest.
template <class T>
size_t argmax(std::span<const T> row) {
  return static_cast<size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

// "Text: a | b => "
inline std::string shown(const data::Record& record) {
  return "Text: " + record.text + (record.has_pair ? " | " + record.text_pair : "") + " => ";
}

inline std::string four_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.4f", value);
  return text;
}

[[noreturn]] inline void fail_unlabelled(int64_t sample) {
  fail(ExitCode::kBadInput, "sample ", sample, " has no label: this split can be predicted, not evaluated");
}

// {"name": score, ...}
inline nlohmann::ordered_json named(std::span<const double> scores, const BertConfig& config) {
  nlohmann::ordered_json json;
  for (size_t c = 0; c < scores.size(); ++c) json[config.label_names[c]] = scores[c];
  return json;
}

inline void add_logits(nlohmann::ordered_json& result, const std::vector<at::Tensor>& logits, int64_t b,
                       const PredictionOptions& options) {
  const auto row = row_of(logits[0], b);
  if (options.with_logits) result["logits"] = std::vector<float>(row.begin(), row.end());
}

}  // namespace berth::train
