// Metrics of classification: one class a sample. Equal to scikit-learn's (zero_division = 0).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "trainer/metrics/metrics.h"

namespace berth::train {

struct PrecisionRecallF1 {
  double precision = 0;
  double recall = 0;
  double f1 = 0;
};

// From counts; a quotient by zero is 0.
PrecisionRecallF1 precision_recall_f1(int64_t true_positives, int64_t predicted, int64_t actual);

enum class Average {
  kBinary,  // of class 1
  kMacro,   // the mean over the classes that labels or predictions have
  kMicro
};

// Counts[label * num_classes + prediction]. All that follows, but ROC AUC, is a function of it.
class ConfusionMatrix {
 public:
  explicit ConfusionMatrix(int num_classes);
  // Throws Error(kInternal) unless 0 <= label, prediction < num_classes.
  void add(int label, int prediction);

  int num_classes() const { return num_classes_; }
  int64_t count(int label, int prediction) const { return counts_[index(label, prediction)]; }
  int64_t total() const { return total_; }

  double accuracy() const;  // NaN without samples
  PrecisionRecallF1 of_class(int c) const;
  PrecisionRecallF1 average(Average kind) const;
  // Gorodkin's R_K for any number of classes; 0 where it is undefined.
  double matthews_correlation() const;

 private:
  size_t index(int label, int prediction) const {
    return static_cast<size_t>(label) * static_cast<size_t>(num_classes_) + static_cast<size_t>(prediction);
  }
  int64_t actual(int c) const;
  int64_t predicted(int c) const;

  int num_classes_;
  int64_t total_ = 0;
  std::vector<int64_t> counts_;
};

// Area under the ROC curve of `scores` for the samples whose `positive` is not 0: the share of pairs in the right order, ties
// counting half. NaN if only one kind is there, or a score is NaN.
double roc_auc(std::span<const int32_t> positive, std::span<const double> scores);
// The mean of each class against the rest; `scores` is [n, num_classes], row-major. NaN if a class is missing from the labels.
double roc_auc_one_vs_rest(std::span<const int32_t> labels, std::span<const double> scores, int num_classes);

// What an evaluation reports: accuracy, f1, precision, recall, matthews_correlation, and roc_auc if there are `scores` ([n,
// num_classes], row-major, larger is likelier). With two classes those of class 1, with more the means over classes.
Metrics classification_metrics(std::span<const int32_t> labels, std::span<const int32_t> predictions,
                               std::span<const double> scores, int num_classes);

}  // namespace berth::train
