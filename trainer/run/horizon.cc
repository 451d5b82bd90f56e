#include "trainer/run/horizon.h"

#include <algorithm>

namespace berth::train {

data::Sampler Horizon::sampler() const {
  return data::Sampler({.num_samples = num_samples,
                        .global_batch = global_batch,
                        .seed = data_seed,
                        .shuffle = true,
                        .drop_last = drop_last,
                        .start = start});
}

double Horizon::schedule_position(int64_t step) const {
  if (start.step == 0) return static_cast<double>(step);
  const double left = static_cast<double>(schedule_steps) - schedule_start;
  return schedule_start +
         left * static_cast<double>(step - start.step) / static_cast<double>(std::max<int64_t>(1, total_steps - start.step));
}

double Horizon::learning_rate_factor(int64_t step, double peak) const {
  return Schedule{schedule, schedule_steps, warmup_steps, schedule_kwargs}.factor(schedule_position(step), peak);
}

Horizon Horizon::with_global_batch(int64_t samples, int64_t step) const {
  Horizon changed = *this;
  changed.start = sampler().position(step);
  changed.schedule_start = schedule_position(step);
  changed.global_batch = samples;
  return changed;
}

}  // namespace berth::train
