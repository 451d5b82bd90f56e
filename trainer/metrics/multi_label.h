// Metrics of multi-label classification: any number of labels a sample. Equal to scikit-learn's (zero_division = 0).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "trainer/metrics/classification.h"

namespace berth::train {

class MultiLabelCounts {
 public:
  explicit MultiLabelCounts(int num_labels) : labels_(static_cast<size_t>(num_labels)) {}
  // One sample: [num_labels] each, 0 or not 0.
  void add(std::span<const int32_t> actual, std::span<const int32_t> predicted);

  PrecisionRecallF1 of_label(int label) const;
  PrecisionRecallF1 micro() const;  // all decisions together
  PrecisionRecallF1 macro() const;  // the mean over all labels
  double subset_accuracy() const;   // samples with all labels right; NaN without samples

 private:
  struct Counts {
    int64_t true_positives = 0, predicted = 0, actual = 0;
  };
  std::vector<Counts> labels_;
  int64_t samples_ = 0;
  int64_t exact_ = 0;
};

}  // namespace berth::train
