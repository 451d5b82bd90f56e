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

double Schedule::factor(int64_t step, double peak) const {
  if (type == ScheduleType::kConstant) return 1;
  if (step < warmup_steps) return static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, warmup_steps));
  const double remaining = static_cast<double>(total_steps - step);
  const double progress =
      static_cast<double>(step - warmup_steps) / static_cast<double>(std::max<int64_t>(1, total_steps - warmup_steps));
  switch (type) {
    case ScheduleType::kLinear:
      return std::max(0.0, remaining / static_cast<double>(std::max<int64_t>(1, total_steps - warmup_steps)));
    case ScheduleType::kCosine:
      return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * progress)));
    case ScheduleType::kCosineWithRestarts:
      return progress >= 1 ? 0 : std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * std::fmod(progress, 1.0))));
    case ScheduleType::kPolynomial:
      if (step > total_steps) return kPolynomialEnd / peak;
      return ((peak - kPolynomialEnd) * (1 - progress) + kPolynomialEnd) / peak;
    case ScheduleType::kInverseSqrt: {
      const double timescale = warmup_steps > 0 ? static_cast<double>(warmup_steps) : 10000;
      return 1 / std::sqrt((static_cast<double>(step - warmup_steps) + timescale) / timescale);
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
