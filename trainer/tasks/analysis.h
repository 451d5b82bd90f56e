// What an evaluation shows beyond its metrics: eval_analysis.json, of which report.html makes tables and pictures. Here it is made, out of
// plain numbers.
//
//   {"classes": [{"name", "precision", "recall", "f1", "support", "predicted"}, …],   a class, label or type of entity
//    "confusion": {"names": […], "cells": [[actual, predicted, count], …]},           by index; counts that are not 0
//    "calibration": {"error", "bins": [{"from", "to", "count", "confidence", "accuracy"}, …]},
//    "scores": {"names": ["right", "wrong"], "counts": [[10 counts], [10 counts]]},   by score, from 0 to 1
//    "lengths": [{"words", "count", "exact_match", "f1"}, …],                         of answers
//    "points": [[target, predicted], …],
//    "mistakes": [{"row", "text", "text_pair", "actual", "predicted", "score" or "error"}, …]}   the surest first
//
// A task writes those of them that it has. What is said of a mistake can be said of every sample, too (AnalysisOptions).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "data/samples/batch.h"
#include "data/store/dataset.h"
#include "data/tokenizer/bert_tokenizer.h"
#include "trainer/metrics/classification.h"

namespace berth::train {

inline constexpr size_t kMostMistakes = 20;
inline constexpr int64_t kMostCharacters = 400;  // code points of a text

struct AnalysisOptions {
  const data::BertTokenizer& tokenizer;  // of the split
  std::string* predictions =
      nullptr;  // what is said of each sample (of each question), a JSON line each, is appended; null: is not asked for
};

nlohmann::ordered_json class_row(const std::string& name, const PrecisionRecallF1& values, int64_t support, int64_t predicted);

// "classes" and "confusion"; `names` has one a class.
void add_classes(nlohmann::ordered_json& analysis, const ConfusionMatrix& matrix, const std::vector<std::string>& names);

// Decisions by what they are about, e.g. types of entities: counts by name of actual and predicted.
nlohmann::ordered_json confusion_of(const std::map<std::pair<std::string, std::string>, int64_t>& counts);

// A decision: how sure, from 0 to 1, and whether that came true.
struct Judged {
  double score = 0;
  bool right = false;
};

// "calibration", with the expected calibration error over ten bins of equal width (Guo et al. 2017, arXiv:1706.04599), and "scores";
// `names`: of the decisions that came true, and the others.
void add_calibration(nlohmann::ordered_json& analysis, std::span<const Judged> judged, const char* right = "right",
                     const char* wrong = "wrong");

// "mistakes": of those with the largest `sizes` (ties: the first; not above 0: no mistake), what `describe` says of the i-th. Of all, if they
// are asked for, options.predictions.
void add_mistakes(nlohmann::ordered_json& analysis, std::span<const double> sizes,
                  const std::function<nlohmann::ordered_json(size_t)>& describe, const AnalysisOptions& options);

// The texts of a prepared split, which holds token ids only: decoded, so without what the tokenizer drops (of an uncased model the case).
class SampleTexts {
 public:
  SampleTexts(const data::Split& split, const data::BertTokenizer& tokenizer) : split_(split), tokenizer_(tokenizer) {}

  data::Batch read(int64_t sample) const;
  int64_t row(int64_t sample) const;
  // {"row", "text", "text_pair" if there are two}: of the sample's first sequence.
  nlohmann::ordered_json describe(int64_t sample) const;
  // Tokens [begin, end) of a batch, without [CLS] and its like.
  std::string decode(const data::Batch& batch, int32_t begin, int32_t end) const;

 private:
  const data::Split& split_;
  const data::BertTokenizer& tokenizer_;
};

// At most kMostCharacters of it, with an ellipsis for the rest.
std::string clipped(std::string_view text);

}  // namespace berth::train
