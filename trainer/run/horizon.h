// What fixes which samples each step of a run holds, and its learning rate: follows from options, data set and ranks once, and is
// kept in every checkpoint. The global batch may be changed in mid-run: samples and learning rate go on from where they were.
#pragma once

#include <cstdint>

#include "data/pipeline/sampler.h"
#include "trainer/optim/schedule.h"

namespace berth::train {

struct Horizon {
  // Which samples, in which order.
  int64_t num_samples = 0;
  int64_t global_batch = 0;    // samples a step, over all ranks
  data::SamplePosition start;  // where the global batch was last changed
  bool drop_last = false;      // an epoch's last, smaller batch
  uint64_t seed = 0;           // of initialisation, dropout and masks
  uint64_t data_seed = 0;      // of the order of samples
  int64_t total_steps = 0;
  // At which learning rate. The schedule is counted in steps of the size that the run began with; those made since `start` take it
  // evenly from `schedule_start` to its end.
  int64_t schedule_steps = 0;  // total_steps, as the run began
  double schedule_start = 0;
  int64_t warmup_steps = 0;
  ScheduleType schedule = ScheduleType::kLinear;
  ScheduleKwargs schedule_kwargs = ScheduleKwargs::object();  // the options', as they are now

  data::Sampler sampler() const;
  // The factor on the peak learning rate of the update that makes step `step` (0-based).
  double learning_rate_factor(int64_t step, double peak) const;

  // This horizon with another global batch from step `step` on; total_steps is left for the caller to set.
  Horizon with_global_batch(int64_t samples, int64_t step) const;

 private:
  double schedule_position(int64_t step) const;
};

}  // namespace berth::train
