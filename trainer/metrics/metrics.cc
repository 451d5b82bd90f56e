#include "trainer/metrics/metrics.h"

#include <algorithm>
#include <iterator>

namespace berth::train {
namespace {

struct KnownEnding {
  std::string_view ending;  // a name is this, or ends with '_' and this
  MetricKind kind;
};

// Everything but scores, whose names may be of any type of entity ("PER_f1").
constexpr KnownEnding kEndings[] = {
    {"loss", MetricKind::kLoss},           {"mse", MetricKind::kLoss},
    {"perplexity", MetricKind::kLoss},     {"number", MetricKind::kCount},
    {"total", MetricKind::kCount},         {"samples", MetricKind::kCount},
    {"skipped_steps", MetricKind::kCount}, {"overflowed_steps", MetricKind::kCount},
    {"runtime", MetricKind::kSpeed},       {"per_second", MetricKind::kSpeed},
    {"mfu", MetricKind::kSpeed},           {"mem_cpu_peak", MetricKind::kCount},
    {"mem_gpu_peak", MetricKind::kCount},  {"total_flos", MetricKind::kOther},
    {"epoch", MetricKind::kOther},         {"thresh", MetricKind::kOther},
    {"learning_rate", MetricKind::kOther}, {"grad_norm", MetricKind::kOther},
};

bool ends_with_word(std::string_view name, std::string_view ending) {
  if (!name.ends_with(ending)) return false;
  return name.size() == ending.size() || name[name.size() - ending.size() - 1] == '_';
}

}  // namespace

MetricKind metric_kind(std::string_view name) {
  const auto known = std::find_if(std::begin(kEndings), std::end(kEndings),
                                  [&](const KnownEnding& e) { return ends_with_word(name, e.ending); });
  return known == std::end(kEndings) ? MetricKind::kScore : known->kind;
}

}  // namespace berth::train
