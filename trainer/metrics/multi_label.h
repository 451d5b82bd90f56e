// Metrics of multi-label classification: any number of labels a sample. Equal to scikit-learn's (zero_division = 0).
#pragma once

#include <cstdint>
#include <span>
#include <string>
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

// The probability above which each label is said to hold: 0.5, or what `given` says, whose items are "0.3" (for all labels) or
// "name=0.3", later ones winning. Throws Error(kUsage).
std::vector<double> label_thresholds(const std::vector<std::string>& given, const std::vector<std::string>& label_names);

// Areas under the ROC curve for targets and scores ([n, num_labels], row-major): the mean over the labels, and that of all
// decisions together. NaN where labels do not have both kinds.
struct RocAuc {
  double macro = 0, micro = 0;
};
RocAuc multi_label_roc_auc(std::span<const int32_t> targets, std::span<const double> scores, int num_labels);

}  // namespace berth::train
