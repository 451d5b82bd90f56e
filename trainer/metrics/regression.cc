#include "trainer/metrics/regression.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace berth::train {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

bool is_constant(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [&](double value) { return value == values[0]; });
}

bool has_nan(std::span<const double> values) {
  return std::any_of(values.begin(), values.end(), [](double value) { return std::isnan(value); });
}

long double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0L) / static_cast<long double>(values.size());
}

// Ranks from 1.
std::vector<double> mean_ranks(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = static_cast<double>(begin + end + 1) / 2;
  }
  return ranks;
}

}  // namespace

double pearson(std::span<const double> x, std::span<const double> y) {
  if (x.size() < 2 || has_nan(x) || has_nan(y) || is_constant(x) || is_constant(y)) return kNan;
  const long double mean_x = mean(x), mean_y = mean(y);
  long double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const long double dx = x[i] - mean_x, dy = y[i] - mean_y;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return std::clamp(static_cast<double>(xy / (std::sqrt(xx) * std::sqrt(yy))), -1.0, 1.0);
}

double spearman(std::span<const double> x, std::span<const double> y) {
  if (has_nan(x) || has_nan(y)) return kNan;
  return pearson(mean_ranks(x), mean_ranks(y));
}

double mean_squared_error(std::span<const double> x, std::span<const double> y) {
  if (x.empty()) return kNan;
  long double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += (static_cast<long double>(x[i]) - y[i]) * (static_cast<long double>(x[i]) - y[i]);
  return static_cast<double>(sum / static_cast<long double>(x.size()));
}

}  // namespace berth::train
