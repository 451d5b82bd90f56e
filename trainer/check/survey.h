// What the samples of a data set say of a run on them: labels, samples that were cut, samples that occur twice.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/samples/task.h"
#include "data/store/dataset.h"
#include "trainer/check/finding.h"

namespace berth::preflight {

// Two samples are the same if their tokens, sequences and segments are.
struct SplitFacts {
  std::string name = {};
  int64_t samples = 0, looked_at = 0;     // the first so many
  std::vector<int64_t> of_label = {};     // targets of each class, positives of each label; empty: there are no classes
  int64_t unlabelled = 0;                 // samples
  int64_t repeated = 0;                   // samples that are the same as an earlier one
  int64_t contradictory = 0;              // samples that are the same as another one with another label
  std::optional<int64_t> truncated = {};  // of all in the file's split of that name, where the file says it
  int64_t of_full_length = 0;             // samples with a sequence of max_length tokens
};

struct DataFacts {
  data::TaskKind task = data::TaskKind::kSequenceClassification;
  std::vector<std::string> labels = {};
  int max_length = 0;
  SplitFacts train = {};
  int64_t train_in_file = 0;  // samples of the training split, whatever fold is left out
  std::optional<SplitFacts> validation = {};
  int64_t leaked = 0;  // validation samples looked at that are training samples looked at
};

struct SurveyOptions {
  int64_t max_train_samples = -1, max_eval_samples = -1;  // < 0: all
  int64_t train_in_file = 0;
  int64_t most_samples = 4'000'000;           // of a split, for the memory that comparing them takes
  std::chrono::duration<double> patience{5};  // for each split; at least one block of samples is read
};

// Reads the splits; `validation` may be null. Throws Error(kBadInput) if the file is damaged.
DataFacts survey(const data::DatasetInfo& info, const data::Split& train, const data::Split* validation,
                 const SurveyOptions& options);

struct LabelOptions {
  bool weighted = false;  // classes have weights, or are drawn alike
};
Findings judge_labels(const DataFacts& facts, const LabelOptions& options);
Finding judge_truncation(const DataFacts& facts);
Findings judge_repeats(const DataFacts& facts);  // duplicates, and leakage between the splits

}  // namespace berth::preflight
