#include "trainer/tasks/sequence.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "trainer/metrics/classification.h"
#include "trainer/metrics/multi_label.h"
#include "trainer/metrics/regression.h"
#include "trainer/tasks/payload.h"
#include "trainer/tasks/rows.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

// log of the sum of exp(row), in double.
double log_sum_exp(std::span<const float> row) {
  const double largest = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (float logit : row) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

[[noreturn]] void fail_unlabelled(int64_t sample) {
  fail(ExitCode::kBadInput, "sample ", sample, " has no label: this split can be predicted, not evaluated");
}

// {"name": score, ...}
Json named(std::span<const double> scores, const BertConfig& config) {
  Json json;
  for (size_t c = 0; c < scores.size(); ++c) json[config.label_names[c]] = scores[c];
  return json;
}

void add_logits(Json& result, const std::vector<at::Tensor>& logits, int64_t b, const PredictionOptions& options) {
  const auto row = row_of(logits[0], b);
  if (options.with_logits) result["logits"] = std::vector<float>(row.begin(), row.end());
}

class SequenceClassification final : public Task {
  struct Outcome {
    double loss, positive;  // positive: the probability of class 1
    int32_t label, predicted;
  };

 public:
  void configure(BertConfig& config, const std::vector<std::string>& label_names) const override {
    config.label_names = label_names;
    config.problem_type = "single_label_classification";
  }

  void record(const std::vector<at::Tensor>& logits, const data::Batch& batch, const PredictionOptions&,
              std::vector<EvalRecord>& out) const override {
    for (int64_t b = 0; b < batch.size(); ++b) {
      const auto row = row_of(logits[0], b);
      const int64_t sample = batch.sample_ids[static_cast<size_t>(b)];
      const int32_t label = batch.labels[static_cast<size_t>(b)];
      if (label == data::kIgnoreIndex) fail_unlabelled(sample);
      const double total = log_sum_exp(row);
      out.push_back({sample, pack(Outcome{.loss = total - row[static_cast<size_t>(label)],
                                          .positive = std::exp(row[row.size() > 1 ? 1 : 0] - total),
                                          .label = label,
                                          .predicted = static_cast<int32_t>(argmax(row))})});
    }
  }

  Evaluation evaluate(const std::vector<EvalRecord>& records, const EvalContext& context) const override {
    const int classes = static_cast<int>(context.config.label_names.size());
    double loss = 0;
    std::vector<int32_t> labels, predictions;
    std::vector<double> scores;  // of two classes: of more only the winner is kept
    for (const EvalRecord& record : records) {
      const auto outcome = unpack<Outcome>(record.payload);
      loss += outcome.loss;
      labels.push_back(outcome.label);
      predictions.push_back(outcome.predicted);
      if (classes == 2) scores.insert(scores.end(), {1 - outcome.positive, outcome.positive});
    }
    Metrics metrics{{"loss", loss / static_cast<double>(records.size())}};
    for (auto& metric : classification_metrics(labels, predictions, scores, classes)) metrics.push_back(std::move(metric));
    return {metrics};
  }

  std::vector<at::Tensor> probabilities(const std::vector<at::Tensor>& logits, const data::Batch&) const override {
    return {logits[0].to(at::kDouble).softmax(1)};
  }

  std::vector<Json> predictions(const NewTexts& texts, const std::vector<at::Tensor>& probabilities,
                                const std::vector<at::Tensor>& logits, const BertConfig& config,
                                const PredictionOptions& options) const override {
    std::vector<Json> results;
    for (int64_t b = 0; b < texts.batch.size(); ++b) {
      const auto row = row_of<double>(probabilities[0], b);
      const size_t best = argmax(row);
      Json result{{"label", config.label_names[best]}, {"score", row[best]}, {"scores", named(row, config)}};
      add_logits(result, logits, b, options);
      results.push_back(std::move(result));
    }
    return results;
  }

  std::string describe(const data::Record& record, const Json& prediction) const override {
    return concat(shown(record), "Label: ", prediction["label"].get<std::string>(), " (", four_digits(prediction["score"]), ")");
  }
};

class Regression final : public Task {
  struct Outcome {
    double predicted, target;
  };

 public:
  void configure(BertConfig& config, const std::vector<std::string>&) const override {
    config.label_names = {"LABEL_0"};
    config.problem_type = "regression";
  }

  void record(const std::vector<at::Tensor>& logits, const data::Batch& batch, const PredictionOptions&,
              std::vector<EvalRecord>& out) const override {
    for (int64_t b = 0; b < batch.size(); ++b) {
      const float target = batch.float_labels[static_cast<size_t>(b)];
      const int64_t sample = batch.sample_ids[static_cast<size_t>(b)];
      if (std::isnan(target)) fail_unlabelled(sample);
      out.push_back({sample, pack(Outcome{.predicted = row_of(logits[0], b)[0], .target = target})});
    }
  }

  Evaluation evaluate(const std::vector<EvalRecord>& records, const EvalContext&) const override {
    std::vector<double> predicted, targets;
    for (const EvalRecord& record : records) {
      const auto outcome = unpack<Outcome>(record.payload);
      predicted.push_back(outcome.predicted);
      targets.push_back(outcome.target);
    }
    return {{{"loss", mean_squared_error(predicted, targets)},
             {"pearson", pearson(predicted, targets)},
             {"spearmanr", spearman(predicted, targets)}}};
  }

  std::vector<at::Tensor> probabilities(const std::vector<at::Tensor>& logits, const data::Batch&) const override {
    return {logits[0].to(at::kDouble)};
  }

  std::vector<Json> predictions(const NewTexts& texts, const std::vector<at::Tensor>& values, const std::vector<at::Tensor>&,
                                const BertConfig&, const PredictionOptions&) const override {
    std::vector<Json> results;
    for (int64_t b = 0; b < texts.batch.size(); ++b) results.push_back({{"score", row_of<double>(values[0], b)[0]}});
    return results;
  }

  std::string describe(const data::Record& record, const Json& prediction) const override {
    return shown(record) + "Score: " + four_digits(prediction["score"]);
  }
};

class MultiLabel final : public Task {
  static constexpr double kThreshold = 0.5;

 public:
  void configure(BertConfig& config, const std::vector<std::string>& label_names) const override {
    config.label_names = label_names;
    config.problem_type = "multi_label_classification";
  }

  // Payload: the loss (a double), then a byte per label: bit 0 the target, bit 1 the prediction.
  void record(const std::vector<at::Tensor>& logits, const data::Batch& batch, const PredictionOptions&,
              std::vector<EvalRecord>& out) const override {
    for (int64_t b = 0; b < batch.size(); ++b) {
      const auto row = row_of(logits[0], b);
      const int64_t sample = batch.sample_ids[static_cast<size_t>(b)];
      const float* targets = batch.float_labels.data() + b * std::ssize(row);
      double loss = 0;
      std::string decisions;
      for (size_t c = 0; c < row.size(); ++c) {
        const double x = row[c], target = targets[c];
        if (std::isnan(target)) fail_unlabelled(sample);
        loss += std::max(x, 0.0) - x * target + std::log1p(std::exp(-std::abs(x)));
        decisions += static_cast<char>((target > 0.5 ? 1 : 0) | (sigmoid(x) > kThreshold ? 2 : 0));
      }
      out.push_back({sample, pack(loss / static_cast<double>(row.size())) + decisions});
    }
  }

  Evaluation evaluate(const std::vector<EvalRecord>& records, const EvalContext& context) const override {
    MultiLabelCounts counts(static_cast<int>(context.config.label_names.size()));
    double loss = 0;
    for (const EvalRecord& record : records) {
      loss += unpack<double>(record.payload.substr(0, sizeof(double)));
      std::vector<int32_t> actual, predicted;
      for (char decision : record.payload.substr(sizeof(double))) {
        actual.push_back(decision & 1);
        predicted.push_back(decision >> 1 & 1);
      }
      counts.add(actual, predicted);
    }
    const PrecisionRecallF1 micro = counts.micro(), macro = counts.macro();
    return {{{"loss", loss / static_cast<double>(records.size())},
             {"accuracy", counts.subset_accuracy()},
             {"f1_micro", micro.f1},
             {"f1_macro", macro.f1},
             {"precision_micro", micro.precision},
             {"recall_micro", micro.recall}}};
  }

  std::vector<at::Tensor> probabilities(const std::vector<at::Tensor>& logits, const data::Batch&) const override {
    return {logits[0].to(at::kDouble).sigmoid()};
  }

  std::vector<Json> predictions(const NewTexts& texts, const std::vector<at::Tensor>& probabilities,
                                const std::vector<at::Tensor>& logits, const BertConfig& config,
                                const PredictionOptions& options) const override {
    std::vector<Json> results;
    for (int64_t b = 0; b < texts.batch.size(); ++b) {
      const auto row = row_of<double>(probabilities[0], b);
      Json labels = Json::array();
      for (size_t c = 0; c < row.size(); ++c)
        if (row[c] > kThreshold) labels.push_back(config.label_names[c]);
      Json result{{"labels", labels}, {"scores", named(row, config)}};
      add_logits(result, logits, b, options);
      results.push_back(std::move(result));
    }
    return results;
  }

  std::string describe(const data::Record& record, const Json& prediction) const override {
    std::string text;
    for (const Json& label : prediction["labels"]) {
      const auto name = label.get<std::string>();
      text += concat(text.empty() ? "" : ", ", name, " (", four_digits(prediction["scores"][name]), ")");
    }
    return shown(record) + "Labels: " + (text.empty() ? "none" : text);
  }
};

}  // namespace

const Task& sequence_classification() {
  static const SequenceClassification task;
  return task;
}

const Task& regression() {
  static const Regression task;
  return task;
}

const Task& multi_label() {
  static const MultiLabel task;
  return task;
}

}  // namespace berth::train
