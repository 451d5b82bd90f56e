// Learning-rate schedules: the factor on the peak learning rate as a pure function of the step.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace berth::train {

enum class ScheduleType { kLinear, kCosine, kCosineWithRestarts, kPolynomial, kConstant, kConstantWithWarmup, kInverseSqrt };

// Names as Hugging Face's --lr_scheduler_type. Throws Error(kUsage) listing them.
ScheduleType parse_schedule(std::string_view name);
std::string_view schedule_name(ScheduleType type);

struct Schedule {
  ScheduleType type = ScheduleType::kLinear;
  int64_t total_steps = 1;  // the horizon
  int64_t warmup_steps = 0;

  // The factor for the update that makes step `step` (0-based; between two where the size of steps was changed) of the run:
  // transformers.optimization's formulas, with their
  // defaults (half a cosine cycle; one hard restart cycle; polynomial power 1 to lr_end 1e-7 relative to `peak`).
  double factor(double step, double peak) const;
};

// warmup_steps below 1 is a share of the horizon, as is warmup_ratio (transformers 5.x and 4.x); at least 1 is a number of steps.
int64_t resolve_warmup(double warmup_steps, double warmup_ratio, int64_t total_steps);

}  // namespace berth::train
