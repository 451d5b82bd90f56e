#include "trainer/optim/plateau.h"

#include <algorithm>
#include <cmath>

namespace berth::train {

Plateau after_evaluation(Plateau plateau, double metric, bool greater, const ScheduleKwargs& kwargs) {
  const double sign = kwargs.value("mode", greater ? "max" : "min") == "max" ? 1 : -1,
               threshold = kwargs.value("threshold", 1e-4);
  const auto is_better = [&](double best) {
    const double least = kwargs.value("threshold_mode", "rel") == "rel" ? best * (1 + sign * threshold) : best + sign * threshold;
    return sign > 0 ? metric > least : metric < least;
  };
  if (plateau.best ? is_better(*plateau.best) : std::isfinite(metric)) {
    plateau.best = metric;
    plateau.bad = 0;
  } else {
    ++plateau.bad;
  }
  if (plateau.cooldown > 0) {
    --plateau.cooldown;
    plateau.bad = 0;
  }
  if (plateau.bad > kwargs.value("patience", int64_t{10})) {
    ++plateau.reductions;
    plateau.cooldown = kwargs.value("cooldown", int64_t{0});
    plateau.bad = 0;
  }
  return plateau;
}

double lowered(double peak, int64_t reductions, const ScheduleKwargs& kwargs) {
  for (; reductions > 0; --reductions) {
    const double next = std::max(peak * kwargs.value("factor", 0.1), kwargs.value("min_lr", 0.0));
    if (peak - next > kwargs.value("eps", 1e-8)) peak = next;
  }
  return peak;
}

}  // namespace berth::train
