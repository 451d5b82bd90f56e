#include "trainer/metrics/multi_label.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "data/check.h"

namespace berth::train {

void MultiLabelCounts::add(std::span<const int32_t> actual, std::span<const int32_t> predicted) {
  check_internal(actual.size() == labels_.size() && predicted.size() == labels_.size(), "a sample has ", actual.size(),
                 " labels and ", predicted.size(), " predictions instead of ", labels_.size());
  bool exact = true;
  for (size_t i = 0; i < labels_.size(); ++i) {
    const bool is = actual[i] != 0, said = predicted[i] != 0;
    labels_[i].true_positives += is && said;
    labels_[i].predicted += said;
    labels_[i].actual += is;
    exact = exact && is == said;
  }
  ++samples_;
  exact_ += exact;
}

PrecisionRecallF1 MultiLabelCounts::of_label(int label) const {
  const Counts& counts = labels_[static_cast<size_t>(label)];
  return precision_recall_f1(counts.true_positives, counts.predicted, counts.actual);
}

PrecisionRecallF1 MultiLabelCounts::micro() const {
  Counts sum;
  for (const Counts& counts : labels_) {
    sum.true_positives += counts.true_positives;
    sum.predicted += counts.predicted;
    sum.actual += counts.actual;
  }
  return precision_recall_f1(sum.true_positives, sum.predicted, sum.actual);
}

PrecisionRecallF1 MultiLabelCounts::macro() const {
  PrecisionRecallF1 sum;
  for (size_t i = 0; i < labels_.size(); ++i) {
    const PrecisionRecallF1 one = of_label(static_cast<int>(i));
    sum.precision += one.precision;
    sum.recall += one.recall;
    sum.f1 += one.f1;
  }
  const auto n = static_cast<double>(labels_.size());
  return {sum.precision / n, sum.recall / n, sum.f1 / n};
}

double MultiLabelCounts::subset_accuracy() const {
  if (samples_ == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(exact_) / static_cast<double>(samples_);
}

std::vector<double> label_thresholds(const std::vector<std::string>& given, const std::vector<std::string>& label_names) {
  std::vector<double> thresholds(label_names.size(), 0.5);
  for (const std::string& item : given) {
    const size_t equals = item.rfind('=');
    const std::string name = equals == std::string::npos ? "" : item.substr(0, equals);
    const std::string number = equals == std::string::npos ? item : item.substr(equals + 1);
    double value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    check_usage(error == std::errc() && end == number.data() + number.size() && value >= 0 && value <= 1, "the threshold '", item,
                "' is not a number from 0 to 1, or name=number");
    if (equals == std::string::npos) {
      std::fill(thresholds.begin(), thresholds.end(), value);
      continue;
    }
    const auto label = std::find(label_names.begin(), label_names.end(), name);
    check_usage(label != label_names.end(), "the threshold '", item, "' is for a label that the model does not have");
    thresholds[static_cast<size_t>(label - label_names.begin())] = value;
  }
  return thresholds;
}

RocAuc multi_label_roc_auc(std::span<const int32_t> targets, std::span<const double> scores, int num_labels) {
  const auto stride = static_cast<size_t>(num_labels);
  RocAuc auc{.macro = 0, .micro = roc_auc(targets, scores)};
  std::vector<int32_t> target;
  std::vector<double> score;
  for (size_t c = 0; c < stride; ++c) {
    target.clear();
    score.clear();
    for (size_t i = c; i < targets.size(); i += stride) {
      target.push_back(targets[i]);
      score.push_back(scores[i]);
    }
    auc.macro += roc_auc(target, score) / num_labels;
  }
  return auc;
}

}  // namespace berth::train
