#include "trainer/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "data/check.h"
#include "data/json/json.h"
#include "data/words.h"

namespace berth::train {
namespace {

struct Kind {
  ScheduleType type;
  std::string_view name;
  std::vector<std::string_view> kwargs;
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all{
      {ScheduleType::kLinear, "linear", {}},
      {ScheduleType::kCosine, "cosine", {"num_cycles"}},
      {ScheduleType::kCosineWithRestarts, "cosine_with_restarts", {"num_cycles"}},
      {ScheduleType::kPolynomial, "polynomial", {"lr_end", "power"}},
      {ScheduleType::kConstant, "constant", {}},
      {ScheduleType::kConstantWithWarmup, "constant_with_warmup", {}},
      {ScheduleType::kInverseSqrt, "inverse_sqrt", {"timescale"}},
      {ScheduleType::kReduceLrOnPlateau,
       "reduce_lr_on_plateau",
       {"mode", "factor", "patience", "threshold", "threshold_mode", "cooldown", "min_lr", "eps"}},
      {ScheduleType::kCosineWithMinLr, "cosine_with_min_lr", {"num_cycles", "min_lr", "min_lr_rate"}},
      {ScheduleType::kCosineWarmupWithMinLr,
       "cosine_warmup_with_min_lr",
       {"num_cycles", "min_lr", "min_lr_rate", "warmup_lr_rate"}},
      {ScheduleType::kWarmupStableDecay,
       "warmup_stable_decay",
       {"num_decay_steps", "num_stable_steps", "warmup_type", "decay_type", "min_lr_ratio", "num_cycles"}},
  };
  return all;
}

const Kind& kind_of(ScheduleType type) {
  return *std::find_if(kinds().begin(), kinds().end(), [&](const Kind& kind) { return kind.type == type; });
}

constexpr double kMostSteps = 1e12;

// Numbers not listed here may be any from 0 on.
struct Range {
  std::string_view name;
  double low, high;
  bool whole;
};
constexpr Range kRanges[] = {{"timescale", 1, kMostSteps, true},
                             {"min_lr_rate", 0, 1, false},
                             {"warmup_lr_rate", 0, 1, false},
                             {"min_lr_ratio", 0, 1, false},
                             {"factor", 0, 1 - 1e-9, false},
                             {"num_decay_steps", 0, kMostSteps, true},
                             {"num_stable_steps", 0, kMostSteps, true},
                             {"patience", 0, kMostSteps, true},
                             {"cooldown", 0, kMostSteps, true}};

struct Words {
  std::string_view name;
  std::vector<std::string_view> known;
};

const Words* words_of(std::string_view name) {
  static const std::vector<Words> all{{"warmup_type", {"linear", "cosine", "1-sqrt"}},
                                      {"decay_type", {"linear", "cosine", "1-sqrt"}},
                                      {"mode", {"min", "max"}},
                                      {"threshold_mode", {"rel", "abs"}}};
  const auto found = std::find_if(all.begin(), all.end(), [&](const Words& words) { return words.name == name; });
  return found == all.end() ? nullptr : &*found;
}

void check_value(const std::string& name, const ScheduleKwargs& value) {
  if (const Words* words = words_of(name)) {
    check_usage(value.is_string() && std::count(words->known.begin(), words->known.end(), value.get<std::string>()) > 0,
                "--lr-scheduler-kwargs: ", name, " must be one of ", joined(words->known), ", got ", data::dump_json(value));
    return;
  }
  Range range{name, 0, std::numeric_limits<double>::max(), false};
  for (const Range& known : kRanges)
    if (known.name == name) range = known;
  const double number = value.is_number() ? value.get<double>() : -1;
  check_usage(number >= range.low && number <= range.high && (!range.whole || number == std::floor(number)),
              "--lr-scheduler-kwargs: ", name, " must be a ", range.whole ? "whole " : "", "number from ", range.low,
              range.high <= kMostSteps ? concat(" to ", range.high) : " on", ", got ", data::dump_json(value));
}

double cosine_wave(double cycles, double progress) { return 0.5 * (1 + std::cos(std::numbers::pi * cycles * 2 * progress)); }

// The least factor of the cosines that do not go down to 0.
double least(const ScheduleKwargs& kwargs, double peak) {
  return kwargs.contains("min_lr") ? kwargs["min_lr"].get<double>() / peak : kwargs["min_lr_rate"].get<double>();
}

double ramp(const std::string& type, double progress) {
  if (type == "cosine") return 0.5 * (1 - std::cos(std::numbers::pi * progress));
  return type == "linear" ? progress : 1 - std::sqrt(1 - progress);
}

double warmup_stable_decay(const Schedule& s, double step) {
  const auto warmup = static_cast<double>(s.warmup_steps), decay = s.kwargs["num_decay_steps"].get<double>();
  const double stable = s.kwargs.value("num_stable_steps", static_cast<double>(s.total_steps) - warmup - decay),
               lowest = s.kwargs.value("min_lr_ratio", 0.0);
  const auto above_lowest = [&](double factor) { return std::max(0.0, factor * (1 - lowest) + lowest); };
  if (step < warmup) return above_lowest(ramp(s.kwargs.value("warmup_type", "linear"), step / warmup));
  if (step < warmup + stable) return 1;
  if (step >= warmup + stable + decay) return lowest;
  const double progress = (step - warmup - stable) / decay;
  const std::string type = s.kwargs.value("decay_type", "cosine");
  return above_lowest(type == "cosine"   ? cosine_wave(s.kwargs.value("num_cycles", 0.5), progress)
                      : type == "linear" ? 1 - progress
                                         : 1 - std::sqrt(progress));
}

double cosine_warmup_with_min_lr(const Schedule& s, double step, double peak) {
  const auto warmup = static_cast<double>(s.warmup_steps), total = static_cast<double>(s.total_steps);
  if (step < warmup) {
    if (!s.kwargs.contains("warmup_lr_rate")) return (step + 1) / warmup;
    const double first = s.kwargs["warmup_lr_rate"];
    return first + (1 - first) * step / std::max(1.0, warmup - 1);
  }
  const double lowest = least(s.kwargs, peak), progress = (step - warmup + 1) / std::max(1.0, total - warmup);
  return std::max(0.0, cosine_wave(s.kwargs.value("num_cycles", 0.5), progress) * (1 - lowest) + lowest);
}

}  // namespace

ScheduleType parse_schedule(std::string_view name) {
  for (const Kind& kind : kinds())
    if (name == kind.name) return kind.type;
  fail(ExitCode::kUsage, "--lr-scheduler-type ", name, " is not known; use one of ", joined(kinds(), ", ", &Kind::name));
}

std::string_view schedule_name(ScheduleType type) { return kind_of(type).name; }

ScheduleKwargs parse_schedule_kwargs(const std::string& json) {
  ScheduleKwargs given = data::parse_json<ScheduleKwargs>(json, "--lr-scheduler-kwargs", {.bytes = 1 << 16}, ExitCode::kUsage),
                 kwargs = ScheduleKwargs::object();
  check_usage(given.is_object(), "--lr-scheduler-kwargs must be a JSON object as {\"num_cycles\": 2}, got ", json);
  for (const auto& [name, value] : given.items())
    if (!value.is_null()) kwargs[name] = value;
  return kwargs;
}

void check_schedule(ScheduleType type, const ScheduleKwargs& kwargs, double peak) {
  const Kind& kind = kind_of(type);
  for (const auto& [name, value] : kwargs.items()) {
    check_usage(std::count(kind.kwargs.begin(), kind.kwargs.end(), name) > 0, "--lr-scheduler-kwargs: ", kind.name,
                " does not know ", name, "; it takes ", kind.kwargs.empty() ? "none" : joined(kind.kwargs));
    check_value(name, value);
  }
  if (type == ScheduleType::kCosineWithMinLr || type == ScheduleType::kCosineWarmupWithMinLr) {
    check_usage(kwargs.contains("min_lr") != kwargs.contains("min_lr_rate"), "--lr-scheduler-type ", kind.name,
                " needs either min_lr or min_lr_rate: --lr-scheduler-kwargs '{\"min_lr_rate\": 0.1}'");
    check_usage(!kwargs.contains("min_lr") || peak > 0, "--lr-scheduler-kwargs: min_lr needs a --learning-rate above 0");
  }
  check_usage(type != ScheduleType::kWarmupStableDecay || kwargs.contains("num_decay_steps"), "--lr-scheduler-type ", kind.name,
              " needs num_decay_steps: --lr-scheduler-kwargs '{\"num_decay_steps\": 100}'");
  const double end = kwargs.value("lr_end", 1e-7);
  check_usage(type != ScheduleType::kPolynomial || peak > end, "--lr-scheduler-type polynomial goes down to lr_end ", end,
              ", which must be below --learning-rate ", peak);
}

double Schedule::factor(double step, double peak) const {
  if (type == ScheduleType::kConstant || type == ScheduleType::kReduceLrOnPlateau) return 1;
  if (type == ScheduleType::kWarmupStableDecay) return warmup_stable_decay(*this, step);
  if (type == ScheduleType::kCosineWarmupWithMinLr) return cosine_warmup_with_min_lr(*this, step, peak);
  const auto warmup = static_cast<double>(warmup_steps), total = static_cast<double>(total_steps);
  if (step < warmup) return step / std::max(1.0, warmup);
  const double remaining = total - step, progress = (step - warmup) / std::max(1.0, total - warmup);
  switch (type) {
    case ScheduleType::kLinear:
      return std::max(0.0, remaining / std::max(1.0, total - warmup));
    case ScheduleType::kCosine:
      return std::max(0.0, cosine_wave(kwargs.value("num_cycles", 0.5), progress));
    case ScheduleType::kCosineWithMinLr: {
      const double lowest = least(kwargs, peak);
      return std::max(0.0, cosine_wave(kwargs.value("num_cycles", 0.5), progress) * (1 - lowest) + lowest);
    }
    case ScheduleType::kCosineWithRestarts:
      return progress >= 1 ? 0 : std::max(0.0, cosine_wave(0.5, std::fmod(kwargs.value("num_cycles", 1.0) * progress, 1.0)));
    case ScheduleType::kPolynomial: {
      const double end = kwargs.value("lr_end", 1e-7);
      return ((peak - end) * std::pow(step > total ? 0 : 1 - progress, kwargs.value("power", 1.0)) + end) / peak;
    }
    case ScheduleType::kInverseSqrt: {
      const double timescale = kwargs.value("timescale", warmup > 0 ? warmup : 10000);
      return 1 / std::sqrt((step - warmup + timescale) / timescale);
    }
    default:
      return 1;
  }
}

int64_t resolve_warmup(double warmup_steps, double warmup_ratio, int64_t total_steps) {
  const double share = warmup_steps > 0 && warmup_steps < 1 ? warmup_steps : warmup_steps == 0 ? warmup_ratio : 0;
  if (share > 0) return static_cast<int64_t>(std::ceil(share * static_cast<double>(total_steps)));
  return static_cast<int64_t>(warmup_steps);
}

}  // namespace berth::train
