// Which evaluation of a run is its best, and which of its values are shown together.
#pragma once

#include <string>
#include <vector>

#include "trainer/report/metrics_file.h"
#include "trainer/report/svg_chart.h"

namespace berth::train {

struct Evaluations {
  std::vector<const LogRecord*> all;  // of the validation split, in order
  std::vector<std::string> metrics;   // their names without "eval_", in order of appearance; neither loss nor speed
  std::string metric = "loss";        // that says which is best, without "eval_"
  bool greater = false;               // is better
  const LogRecord* best = nullptr;    // the first with the best finite value; null: none has one
  const LogRecord* last() const { return all.empty() ? nullptr : all.back(); }
};

// `options`: of provenance.json, whose metric-for-best-model and greater-is-better count; else the metric is the loss. `records` must
// outlive it.
Evaluations evaluations_of(const std::vector<LogRecord>& records, const nlohmann::ordered_json& options);

// The first of them with the best finite value of `key`; null: none has one.
const LogRecord* best_of(const std::vector<const LogRecord*>& records, const std::string& key, bool greater);

// Whether a metric, without "eval_", is among those that people ask for first.
bool is_headline(const std::string& metric);

// The records' values of `key`; what is not finite is NaN.
Series series_of(const std::vector<LogRecord>& records, const std::string& key, const std::string& name);

// Metrics that can share an axis, in order: those from 0 to 1 (or -1), those in percent, and each other by itself; at most `most` a group.
// Counts are in none.
std::vector<std::vector<std::string>> groups_by_axis(const std::vector<LogRecord>& records,
                                                     const std::vector<std::string>& metrics, size_t most);

}  // namespace berth::train
