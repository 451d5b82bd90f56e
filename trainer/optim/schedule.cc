#include "trainer/optim/schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "data/check.h"
#include "data/words.h"

namespace berth::train {
namespace {

constexpr std::array<std::pair<ScheduleType, std::string_view>, 7> kNames{{
    {ScheduleType::kLinear, "linear"},
    {ScheduleType::kCosine, "cosine"},
    {ScheduleType::kCosineWithRestarts, "cosine_with_restarts"},
    {ScheduleType::kPolynomial, "polynomial"},
    {ScheduleType::kConstant, "constant"},
    {ScheduleType::kConstantWithWarmup, "constant_with_warmup"},
    {ScheduleType::kInverseSqrt, "inverse_sqrt"},
}};

constexpr double kPolynomialEnd = 1e-7;

}  // namespace

ScheduleType parse_schedule(std::string_view name) {
  for (const auto& [type, known] : kNames)
    if (name == known) return type;
  fail(ExitCode::kUsage, "--lr-scheduler-type ", name, " is not known; use one of ",
       joined(kNames, ", ", [](const auto& entry) { return entry.second; }));
}

std::string_view schedule_name(ScheduleType type) {
  for (const auto& [known, name] : kNames)
    if (known == type) return name;
  fail(ExitCode::kInternal, "schedule without a name");
}

double Schedule::factor(double step, double peak) const {
  if (type == ScheduleType::kConstant) return 1;
  const auto warmup = static_cast<double>(warmup_steps), total = static_cast<double>(total_steps);
  if (step < warmup) return step / std::max(1.0, warmup);
  const double remaining = total - step, progress = (step - warmup) / std::max(1.0, total - warmup);
  switch (type) {
    case ScheduleType::kLinear:
      return std::max(0.0, remaining / std::max(1.0, total - warmup));
    case ScheduleType::kCosine:
      return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * progress)));
    case ScheduleType::kCosineWithRestarts:
      return progress >= 1 ? 0 : std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * std::fmod(progress, 1.0))));
    case ScheduleType::kPolynomial:
      if (step > total) return kPolynomialEnd / peak;
      return ((peak - kPolynomialEnd) * (1 - progress) + kPolynomialEnd) / peak;
    case ScheduleType::kInverseSqrt: {
      const double timescale = warmup > 0 ? warmup : 10000;
      return 1 / std::sqrt((step - warmup + timescale) / timescale);
    }
    case ScheduleType::kConstant:
    case ScheduleType::kConstantWithWarmup:
      break;
  }
  return 1;
}

int64_t resolve_warmup(double warmup_steps, double warmup_ratio, int64_t total_steps) {
  const double share = warmup_steps > 0 && warmup_steps < 1 ? warmup_steps : warmup_steps == 0 ? warmup_ratio : 0;
  if (share > 0) return static_cast<int64_t>(std::ceil(share * static_cast<double>(total_steps)));
  return static_cast<int64_t>(warmup_steps);
}

}  // namespace berth::train
