// Which configurations of a sweep are best: pure functions of what its trials have come to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/sweep/sweep_plan.h"

namespace berth::train {

// Of a trial, at the rung that its configuration has come to.
struct TrialResult {
  bool done = false;                                                  // it has trained as long as it was to
  int exit_code = 0;                                                  // of one that failed
  std::string error = {};                                             //
  int64_t step = 0;                                                   // of the evaluation that counts
  std::optional<double> value = {};                                   // of the metric then; unset: failed, or never finite
  nlohmann::ordered_json metrics = nlohmann::ordered_json::object();  // all of that evaluation
  bool degenerate = false;
};

struct Summary {
  size_t configuration = 0;
  size_t rung = 0;                               // the last that it trained to
  int64_t runs = 0, failed = 0, degenerate = 0;  // of them
  std::vector<double> values;                    // of those that have one
  std::optional<double> mean, sd, best;          // sd: of a sample (n - 1), from two values on
  std::optional<size_t> best_trial;
  // Some runs say nothing: the mean is of the others.
  bool partial() const { return static_cast<int64_t>(values.size()) < runs; }
};

// `rung`: of each configuration.
std::vector<Summary> summarize(const SweepPlan& plan, const std::vector<TrialResult>& results, const std::vector<size_t>& rung,
                               bool greater);

// The best first: those that came to a later rung, of these those whose runs all have a value, of these those with the better mean, of
// equals the one that stands first. One without any value is the last of its kind.
std::vector<Summary> ranked(std::vector<Summary> summaries, bool greater);

// The trials, at most `most`, of the best ensemble: of the best configuration all that did not fail and are not degenerate, the best
// first, then of the next; degenerate ones only where all are.
std::vector<size_t> best_trials(const SweepPlan& plan, const std::vector<Summary>& ranked,
                                const std::vector<TrialResult>& results, bool greater, size_t most);

// Markdown: a row for each configuration, as they are ranked. `metric`: "eval_accuracy".
std::string sweep_table(const SweepPlan& plan, const std::vector<Summary>& ranked, const std::string& metric);

}  // namespace berth::train
