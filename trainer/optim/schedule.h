// Learning-rate schedules: the factor on the peak learning rate as a pure function of the step.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace berth::train {

enum class ScheduleType {
  kLinear,
  kCosine,
  kCosineWithRestarts,
  kPolynomial,
  kConstant,
  kConstantWithWarmup,
  kInverseSqrt,
  kReduceLrOnPlateau,  // plateau.h: not a function of the step
  kCosineWithMinLr,
  kCosineWarmupWithMinLr,
  kWarmupStableDecay
};

// Names as Hugging Face's --lr_scheduler_type. Throws Error(kUsage) listing them.
ScheduleType parse_schedule(std::string_view name);
std::string_view schedule_name(ScheduleType type);

// What a schedule is told beside steps and peak: an object of numbers and words, by the names of transformers' arguments.
using ScheduleKwargs = nlohmann::ordered_json;
// Of --lr-scheduler-kwargs: a JSON object. A value that is null counts as not given, as there. Throws Error(kUsage).
ScheduleKwargs parse_schedule_kwargs(const std::string& json);
// Throws Error(kUsage) if the schedule does not know an argument (listing those it knows), a value is out of range, or one that it needs
// is missing. `peak`: the learning rate.
void check_schedule(ScheduleType type, const ScheduleKwargs& kwargs, double peak);

struct Schedule {
  ScheduleType type = ScheduleType::kLinear;
  int64_t total_steps = 1;  // the horizon
  int64_t warmup_steps = 0;
  ScheduleKwargs kwargs = ScheduleKwargs::object();  // as check_schedule wants them

  // The factor for the update that makes step `step` (0-based; between two where the size of steps was changed) of the run:
  // transformers.optimization's formulas and defaults; what there is relative to the optimizer's own learning rate is so to `peak`. Of
  // kReduceLrOnPlateau 1.
  double factor(double step, double peak) const;
};

// warmup_steps below 1 is a share of the horizon, as is warmup_ratio (transformers 5.x and 4.x); at least 1 is a number of steps.
int64_t resolve_warmup(double warmup_steps, double warmup_ratio, int64_t total_steps);

}  // namespace berth::train
