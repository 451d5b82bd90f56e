// Which evaluation of a run was the best so far, and whether it has stopped getting better: pure functions of values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "trainer/metrics/metrics.h"

namespace berth::train {

// Kept in each checkpoint: all that is decided about the best model follows from it.
struct BestModel {
  std::optional<double> metric;     // of the best evaluation; unset: none was finite yet
  int64_t step = 0;                 // after which that evaluation was made; 0: none
  int64_t without_improvement = 0;  // evaluations in a row

  // transformers' EarlyStoppingCallback: so many evaluations without improvement; `patience` 0 is off.
  bool stops_early(int64_t patience) const { return patience > 0 && without_improvement >= patience; }
};

// --metric-for-best-model and what counts as better.
struct BestModelOptions {
  std::string metric = {};           // with or without "eval_"; "": loss
  std::optional<bool> greater = {};  // unset: as the metric's kind says
  double threshold = 0;  // an improvement by no more than this does not count for early stopping (but for the best model)

  std::string name() const;  // of the metric, without "eval_"
};

// The best model after one more evaluation, made after `step`. A value that is not finite is never the best. Throws
// Error(kUsage), listing the metrics that there are, if the one that is asked for is not among them.
BestModel judge(BestModel best, const Metrics& metrics, int64_t step, const BestModelOptions& options);

}  // namespace berth::train
