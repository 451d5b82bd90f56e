#include "trainer/metrics/classification.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "data/check.h"

namespace berth::train {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double ratio(int64_t numerator, int64_t denominator) {
  return denominator == 0 ? 0.0 : static_cast<double>(numerator) / static_cast<double>(denominator);
}

}  // namespace

PrecisionRecallF1 precision_recall_f1(int64_t true_positives, int64_t predicted, int64_t actual) {
  return {.precision = ratio(true_positives, predicted),
          .recall = ratio(true_positives, actual),
          .f1 = ratio(2 * true_positives, predicted + actual)};
}

ConfusionMatrix::ConfusionMatrix(int num_classes)
    : num_classes_(num_classes), counts_(static_cast<size_t>(num_classes) * static_cast<size_t>(num_classes)) {}

void ConfusionMatrix::add(int label, int prediction) {
  check_internal(label >= 0 && label < num_classes_ && prediction >= 0 && prediction < num_classes_, "label ", label,
                 " and prediction ", prediction, " are not both below the number of classes, ", num_classes_);
  ++counts_[index(label, prediction)];
  ++total_;
}

int64_t ConfusionMatrix::actual(int c) const {
  const auto row = counts_.begin() + static_cast<std::ptrdiff_t>(index(c, 0));
  return std::accumulate(row, row + num_classes_, int64_t{0});
}

int64_t ConfusionMatrix::predicted(int c) const {
  int64_t sum = 0;
  for (int label = 0; label < num_classes_; ++label) sum += count(label, c);
  return sum;
}

double ConfusionMatrix::accuracy() const {
  if (total_ == 0) return kNan;
  int64_t right = 0;
  for (int c = 0; c < num_classes_; ++c) right += count(c, c);
  return ratio(right, total_);
}

PrecisionRecallF1 ConfusionMatrix::of_class(int c) const { return precision_recall_f1(count(c, c), predicted(c), actual(c)); }

PrecisionRecallF1 ConfusionMatrix::average(Average kind) const {
  if (kind == Average::kBinary) return num_classes_ > 1 ? of_class(1) : PrecisionRecallF1{};
  if (kind == Average::kMicro) {
    const double value = total_ == 0 ? 0.0 : accuracy();
    return {value, value, value};
  }
  PrecisionRecallF1 sum;
  int present = 0;
  for (int c = 0; c < num_classes_; ++c) {
    if (actual(c) + predicted(c) == 0) continue;
    const PrecisionRecallF1 one = of_class(c);
    sum.precision += one.precision;
    sum.recall += one.recall;
    sum.f1 += one.f1;
    ++present;
  }
  if (present == 0) return {};
  return {sum.precision / present, sum.recall / present, sum.f1 / present};
}

double ConfusionMatrix::matthews_correlation() const {
  // Doubles, because squares of large counts leave int64.
  double right = 0, product = 0, actual_squares = 0, predicted_squares = 0;
  for (int c = 0; c < num_classes_; ++c) {
    const double a = static_cast<double>(actual(c)), p = static_cast<double>(predicted(c));
    right += static_cast<double>(count(c, c));
    product += a * p;
    actual_squares += a * a;
    predicted_squares += p * p;
  }
  const double n = static_cast<double>(total_);
  const double denominator = (n * n - actual_squares) * (n * n - predicted_squares);
  return denominator == 0 ? 0.0 : (right * n - product) / std::sqrt(denominator);
}

double roc_auc(std::span<const int32_t> positive, std::span<const double> scores) {
  if (std::any_of(scores.begin(), scores.end(), [](double score) { return std::isnan(score); })) return kNan;
  std::vector<size_t> order(positive.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });
  int64_t negatives = 0, positives = 0;
  int64_t twice_right = 0;  // pairs in the right order twice, ties once
  for (size_t i = 0; i < order.size();) {
    int64_t tied_negatives = 0, tied_positives = 0;
    const double score = scores[order[i]];
    for (; i < order.size() && scores[order[i]] == score; ++i) ++(positive[order[i]] != 0 ? tied_positives : tied_negatives);
    twice_right += tied_positives * (2 * negatives + tied_negatives);
    negatives += tied_negatives;
    positives += tied_positives;
  }
  if (negatives == 0 || positives == 0) return kNan;
  return static_cast<double>(twice_right) / 2 / static_cast<double>(negatives) / static_cast<double>(positives);
}

double roc_auc_one_vs_rest(std::span<const int32_t> labels, std::span<const double> scores, int num_classes) {
  const auto stride = static_cast<size_t>(num_classes);
  std::vector<int32_t> positive(labels.size());
  std::vector<double> column(labels.size());
  double sum = 0;
  for (int c = 0; c < num_classes; ++c) {
    for (size_t i = 0; i < labels.size(); ++i) {
      positive[i] = labels[i] == c;
      column[i] = scores[i * stride + static_cast<size_t>(c)];
    }
    sum += roc_auc(positive, column);
  }
  return sum / num_classes;
}

Metrics classification_metrics(std::span<const int32_t> labels, std::span<const int32_t> predictions,
                               std::span<const double> scores, int num_classes) {
  check_internal(labels.size() == predictions.size() &&
                     (scores.empty() || scores.size() == labels.size() * static_cast<size_t>(num_classes)),
                 labels.size(), " labels, ", predictions.size(), " predictions and ", scores.size(),
                 " scores do not fit together");
  ConfusionMatrix matrix(num_classes);
  for (size_t i = 0; i < labels.size(); ++i) matrix.add(labels[i], predictions[i]);
  const PrecisionRecallF1 average = matrix.average(num_classes == 2 ? Average::kBinary : Average::kMacro);
  Metrics metrics = {{"accuracy", matrix.accuracy(), MetricKind::kScore},
                     {"f1", average.f1, MetricKind::kScore},
                     {"precision", average.precision, MetricKind::kScore},
                     {"recall", average.recall, MetricKind::kScore},
                     {"matthews_correlation", matrix.matthews_correlation(), MetricKind::kScore}};
  if (scores.empty()) return metrics;
  if (num_classes != 2) {
    metrics.push_back({"roc_auc", roc_auc_one_vs_rest(labels, scores, num_classes), MetricKind::kScore});
    return metrics;
  }
  std::vector<double> second;
  for (size_t i = 1; i < scores.size(); i += 2) second.push_back(scores[i]);
  metrics.push_back({"roc_auc", roc_auc(labels, second), MetricKind::kScore});
  return metrics;
}

}  // namespace berth::train
