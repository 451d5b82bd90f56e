// --lr-scheduler-type reduce_lr_on_plateau: the learning rate goes down when evaluations have stopped getting better. The rules and
// defaults are those of torch.optim.lr_scheduler.ReduceLROnPlateau as transformers' Trainer uses it (a step each evaluation, with
// --metric-for-best-model), but that `mode` follows from what is better of the metric where it is not given.
#pragma once

#include <cstdint>
#include <optional>

#include "trainer/optim/schedule.h"

namespace berth::train {

// Kept in each checkpoint: the learning rates follow from it.
struct Plateau {
  std::optional<double> best;  // metric; unset: none yet
  int64_t bad = 0;             // evaluations in a row that were not better, as torch counts num_bad_epochs
  int64_t cooldown = 0;        // evaluations for which none is counted as bad
  int64_t reductions = 0;      // how often the learning rates were lowered
};

// After one more evaluation. `greater`: whether a greater metric is better. A metric that is not a number is not better.
Plateau after_evaluation(Plateau plateau, double metric, bool greater, const ScheduleKwargs& kwargs);

// `peak` lowered so often: times `factor` each time, not below `min_lr`; a change of at most `eps` is none.
double lowered(double peak, int64_t reductions, const ScheduleKwargs& kwargs);

}  // namespace berth::train
