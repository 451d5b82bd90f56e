#include "trainer/tasks/sequence.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "trainer/tasks/payload.h"

namespace berth::train {
namespace {

struct ClassRecord {
  double loss;
  int32_t label, predicted;
};

// log of the sum of exp(row), in double.
double log_sum_exp(const float* row, int64_t n) {
  const double largest = *std::max_element(row, row + n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(row[i] - largest);
  return largest + std::log(sum);
}

class SequenceClassification final : public Task {
 public:
  void configure(BertConfig& config, const std::vector<std::string>& label_names) const override {
    config.label_names = label_names;
    config.problem_type = "single_label_classification";
  }

  void record(const std::vector<at::Tensor>& logits, const data::Batch& batch, std::vector<EvalRecord>& out) const override {
    const int64_t classes = logits[0].size(1);
    for (int64_t b = 0; b < batch.size(); ++b) {
      const float* row = logits[0].const_data_ptr<float>() + b * classes;
      const int32_t label = batch.labels[static_cast<size_t>(b)];
      check(label != data::kIgnoreIndex, "sample ", batch.sample_ids[static_cast<size_t>(b)],
            " has no label: this split can be predicted, not evaluated");
      const auto predicted = static_cast<int32_t>(std::max_element(row, row + classes) - row);
      out.push_back({batch.sample_ids[static_cast<size_t>(b)],
                     pack(ClassRecord{.loss = log_sum_exp(row, classes) - row[label], .label = label, .predicted = predicted})});
    }
  }

  Metrics metrics(const std::vector<EvalRecord>& records, const BertConfig&) const override {
    double loss = 0, correct = 0;
    for (const EvalRecord& record : records) {
      const auto r = unpack<ClassRecord>(record.payload);
      loss += r.loss;
      correct += r.label == r.predicted;
    }
    const double n = static_cast<double>(records.size());
    return {{"loss", loss / n}, {"accuracy", correct / n}};
  }

  std::vector<nlohmann::ordered_json> predictions(const std::vector<at::Tensor>& logits, const data::Batch& batch, const BertConfig& config,
                                                  bool with_logits) const override {
    const int64_t classes = logits[0].size(1);
    std::vector<nlohmann::ordered_json> results;
    for (int64_t b = 0; b < batch.size(); ++b) {
      const float* row = logits[0].const_data_ptr<float>() + b * classes;
      const double total = log_sum_exp(row, classes);
      const auto best = static_cast<size_t>(std::max_element(row, row + classes) - row);
      nlohmann::ordered_json scores;
      for (int64_t c = 0; c < classes; ++c) scores[config.label_names[static_cast<size_t>(c)]] = std::exp(row[c] - total);
      nlohmann::ordered_json result{{"label", config.label_names[best]}, {"score", std::exp(row[best] - total)}, {"scores", scores}};
      if (with_logits) result["logits"] = std::vector<float>(row, row + classes);
      results.push_back(std::move(result));
    }
    return results;
  }
};

}  // namespace

const Task& sequence_classification() {
  static const SequenceClassification task;
  return task;
}

}  // namespace berth::train
