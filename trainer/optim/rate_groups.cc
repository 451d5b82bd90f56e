#include "trainer/optim/rate_groups.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "data/check.h"

namespace berth::train {
namespace {

// Of berth's names, which are those of BERT's classes for its relatives, too (model/bert.h).
constexpr std::string_view kBase = "bert.", kEmbeddings = "bert.embeddings.", kLayer = "bert.encoder.layer.";

bool is_of_layer(const Parameter& parameter) { return parameter.name.starts_with(kLayer); }
int layer_of(const Parameter& parameter) { return std::atoi(parameter.name.c_str() + kLayer.size()); }

}  // namespace

RateGroups rate_groups(const std::vector<Parameter>& parameters, const AdamWOptions& options) {
  int layers = 0;
  for (const Parameter& parameter : parameters)
    if (is_of_layer(parameter)) layers = std::max(layers, layer_of(parameter) + 1);
  const auto peak_of = [&](const Parameter& parameter) {
    if (!parameter.name.starts_with(kBase)) return options.head_learning_rate.value_or(options.learning_rate);
    const int depth = is_of_layer(parameter)                    ? layers - layer_of(parameter)
                      : parameter.name.starts_with(kEmbeddings) ? layers + 1
                                                                : 0;
    return options.learning_rate * std::pow(options.layerwise_lr_decay, depth);
  };
  RateGroups groups{.peaks = {options.learning_rate}, .of_parameter = std::vector<uint8_t>(parameters.size(), 0)};
  for (const Parameter& parameter : parameters) {
    if (parameter.frozen) continue;
    const double peak = peak_of(parameter);
    const auto group = std::find(groups.peaks.begin(), groups.peaks.end(), peak) - groups.peaks.begin();
    if (group == std::ssize(groups.peaks)) groups.peaks.push_back(peak);
    check_usage(group < kernels::kMostRates, "--layerwise-lr-decay: a model of ", layers, " layers has more than ",
                kernels::kMostRates, " learning rates, which is as many as berth can tell apart");
    groups.of_parameter[static_cast<size_t>(parameter.index)] = static_cast<uint8_t>(group);
  }
  return groups;
}

}  // namespace berth::train
