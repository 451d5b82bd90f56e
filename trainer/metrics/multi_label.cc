#include "trainer/metrics/multi_label.h"

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

}  // namespace berth::train
