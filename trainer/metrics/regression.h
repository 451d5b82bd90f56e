// Metrics of regression. Equal to scipy's; NaN where they are undefined (fewer than two values, a constant, a NaN among them).
#pragma once

#include <span>

namespace berth::train {

double pearson(std::span<const double> x, std::span<const double> y);
// Pearson of the ranks, ties getting their mean rank.
double spearman(std::span<const double> x, std::span<const double> y);
double mean_squared_error(std::span<const double> x, std::span<const double> y);

}  // namespace berth::train
