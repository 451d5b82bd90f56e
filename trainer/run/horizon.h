// What fixes which samples each step of a run holds, and its learning rate: follows from options, data set and ranks once, is
// kept in every checkpoint, and must be the same when the run goes on.
#pragma once

#include <cstdint>

#include "data/pipeline/sampler.h"
#include "trainer/optim/schedule.h"

namespace berth::train {

struct Horizon {
  // Which samples, in which order.
  int64_t num_samples = 0;
  int64_t global_batch = 0;  // samples a step, over all ranks
  bool drop_last = false;    // an epoch's last, smaller batch
  uint64_t seed = 0;         // of initialisation, dropout and masks
  uint64_t data_seed = 0;    // of the order of samples
  // At which learning rate.
  int64_t total_steps = 0;
  int64_t warmup_steps = 0;
  ScheduleType schedule = ScheduleType::kLinear;

  data::SamplerOptions sampler() const;
  Schedule learning_rate() const { return {schedule, total_steps, warmup_steps}; }

  // Throws Error(kUsage), which says what differs and which option to give, if a run that began with this one may not go on with
  // `now`: samples would be repeated or skipped, or (unless `allow_change`) the learning rate would jump.
  void check_resumable(const Horizon& now, bool allow_change) const;
};

}  // namespace berth::train
