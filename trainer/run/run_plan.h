// The numbers of a run that follow from options, data set and ranks: pure, the same on all ranks, and what a checkpoint must
// agree with.
#pragma once

#include <cstdint>

#include "trainer/run/horizon.h"
#include "trainer/run/train_options.h"

namespace berth::train {

struct RunPlan {
  Horizon horizon;
  int64_t logging_steps = 0;
  int64_t eval_steps = 0;  // 0: not by steps
  int64_t save_steps = 0;  // 0: not by steps

  // `stored`: of a checkpoint made after `step` steps. Its global batch is kept whatever the number of ranks; if global_batch_size
  // names another one, steps are of that size from there on. Throws Error(kUsage) if there are more ranks than the global batch has
  // samples.
  static RunPlan make(const TrainOptions& options, int64_t split_size, int ranks, const Horizon* stored = nullptr,
                      int64_t step = 0);

  double epoch_at(int64_t step) const { return horizon.sampler().epochs(step); }
  // Whether something is due after step `step` (1-based count of finished steps).
  bool log_due(int64_t step, const LoggingOptions& options) const;
  bool eval_due(int64_t step, const EvalSaveOptions& options) const;
  bool save_due(int64_t step, const EvalSaveOptions& options) const;  // by steps or epoch; not by seconds or best

 private:
  bool epoch_ends(int64_t step) const;  // with that step, or the run
};

}  // namespace berth::train
