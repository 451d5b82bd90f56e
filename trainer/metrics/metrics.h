// What metrics are handed on as.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace berth::train {

// What sort of number a metric is. Said where the metric is made, so that nothing has to be guessed from its name.
enum class MetricKind {
  kLoss,   // less is better: losses, perplexity, mean squared errors
  kScore,  // more is better: shares, from 0 to 1 (SQuAD's: in percent), and correlations, from -1
  kCount,  // a whole number of samples, questions, entities, steps or bytes
  kSpeed,  // how fast it went, not how well: seconds, something per second, or a share of the GPUs' peak
  kOther   // where a run stands, how it is set: epoch, learning rate, gradient norm, thresholds
};

struct Metric {
  std::string name;
  double value;  // NaN: undefined
  MetricKind kind;
  bool operator==(const Metric&) const = default;
};

// In the order in which they are written.
using Metrics = std::vector<Metric>;

// Which of two values of a metric is the better one, where the user does not say.
constexpr bool greater_is_better(MetricKind kind) { return kind != MetricKind::kLoss; }

// For metrics read back from a file, which has only their names ("eval_accuracy", "accuracy", "train_runtime"): the kind that
// all berth's metrics of that name have.
MetricKind metric_kind(std::string_view name);

}  // namespace berth::train
