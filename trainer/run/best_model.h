// Which evaluation of a run was the best so far, whether it has stopped getting better, and which model is the best that there
// still is: pure functions of values.
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
  std::optional<double> last;       // metric of the last evaluation; unset: none yet, or not finite
  bool greater = false;             // whether a greater metric is better

  bool is_better(double metric, double other) const { return greater ? metric > other : metric < other; }
  // transformers' EarlyStoppingCallback: so many evaluations without improvement; `patience` 0 is off.
  bool stops_early(int64_t patience) const { return patience > 0 && without_improvement >= patience; }
};

// The best model whose checkpoint is safely there: BestModel's, unless that could not be saved.
struct KeptModel {
  int64_t step = 0;        // 0: none
  double metric = 0;       //
  std::string checkpoint;  // its folder: a name in the run folder, or a path elsewhere (a run that went on in another folder)
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
