#include "trainer/run/best_model.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "data/words.h"

namespace berth::train {

std::string BestModelOptions::name() const {
  if (metric.empty()) return "loss";
  return metric.starts_with("eval_") ? metric.substr(5) : metric;
}

BestModel judge(BestModel best, const Metrics& metrics, int64_t step, const BestModelOptions& options) {
  const std::string name = options.name();
  const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const Metric& metric) { return metric.name == name; });
  check_usage(found != metrics.end(), "--metric-for-best-model ", options.metric,
              " is not among the metrics: ", joined(metrics, ", ", &Metric::name));
  best.greater = options.greater.value_or(greater_is_better(found->kind));
  const double value = found->value, sign = best.greater ? 1 : -1;
  const bool better = !best.metric || sign * (value - *best.metric) > 0;
  const bool enough = !best.metric || sign * (value - *best.metric) > options.threshold;
  best.without_improvement = enough ? 0 : best.without_improvement + 1;
  best.last = std::isfinite(value) ? std::optional(value) : std::nullopt;
  if (std::isfinite(value) && better) {
    best.metric = value;
    best.step = step;
  }
  return best;
}

}  // namespace berth::train
