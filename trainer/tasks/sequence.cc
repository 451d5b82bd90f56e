#include "trainer/tasks/sequence.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "data/words.h"
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

class SequenceClassification : public Task {
  // Of more classes, the probabilities are not kept and ROC AUC is not reported.
  static constexpr int kMaxScored = 256;

  // The payload; behind it the probability of each class, if they are kept.
  struct Outcome {
    double loss;
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
      std::string payload = pack(Outcome{
          .loss = total - row[static_cast<size_t>(label)], .label = label, .predicted = static_cast<int32_t>(argmax(row))});
      if (row.size() <= kMaxScored)
        for (float logit : row) payload += pack(std::exp(logit - total));
      out.push_back({sample, std::move(payload)});
    }
  }

  Evaluation evaluate(const std::vector<EvalRecord>& records, const EvalContext& context) const override {
    const int classes = static_cast<int>(context.config.label_names.size());
    double loss = 0;
    std::vector<int32_t> labels, predictions;
    std::vector<double> scores;
    for (const EvalRecord& record : records) {
      const auto outcome = unpack<Outcome>(record.payload.substr(0, sizeof(Outcome)));
      loss += outcome.loss;
      labels.push_back(outcome.label);
      predictions.push_back(outcome.predicted);
      for (size_t at = sizeof(Outcome); at < record.payload.size(); at += sizeof(double))
        scores.push_back(unpack<double>(record.payload.substr(at, sizeof(double))));
    }
    Metrics metrics{{"loss", loss / static_cast<double>(records.size()), MetricKind::kLoss}};
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

// Its classes have their names from here: config.json of transformers' class has none.
class NextSentence final : public SequenceClassification {
  static BertConfig with_names(BertConfig config) {
    config.label_names = {"IsNext", "NotNext"};
    return config;
  }

 public:
  void configure(BertConfig& config, const std::vector<std::string>&) const override {
    config.label_names.clear();
    config.problem_type = "";
  }

  Evaluation evaluate(const std::vector<EvalRecord>& records, const EvalContext& context) const override {
    return SequenceClassification::evaluate(records, {with_names(context.config), context.split, context.options});
  }

  std::vector<Json> predictions(const NewTexts& texts, const std::vector<at::Tensor>& probabilities,
                                const std::vector<at::Tensor>& logits, const BertConfig& config,
                                const PredictionOptions& options) const override {
    return SequenceClassification::predictions(texts, probabilities, logits, with_names(config), options);
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
    const double mse = mean_squared_error(predicted, targets), linear = pearson(predicted, targets),
                 ranked = spearman(predicted, targets);
    return {{{"loss", mse, MetricKind::kLoss},
             {"pearson", linear, MetricKind::kScore},
             {"spearmanr", ranked, MetricKind::kScore},
             {"combined_score", (linear + ranked) / 2, MetricKind::kScore},
             {"mse", mse, MetricKind::kLoss}}};
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
  struct Decision {
    float logit;
    int32_t target;
  };

 public:
  void configure(BertConfig& config, const std::vector<std::string>& label_names) const override {
    config.label_names = label_names;
    config.problem_type = "multi_label_classification";
  }

  void check_options(const PredictionOptions& options, const std::vector<std::string>& label_names) const override {
    label_thresholds(options.thresholds, label_names);
  }

  // Payload: a Decision per label.
  void record(const std::vector<at::Tensor>& logits, const data::Batch& batch, const PredictionOptions&,
              std::vector<EvalRecord>& out) const override {
    for (int64_t b = 0; b < batch.size(); ++b) {
      const auto row = row_of(logits[0], b);
      const int64_t sample = batch.sample_ids[static_cast<size_t>(b)];
      const float* targets = batch.float_labels.data() + b * std::ssize(row);
      std::string payload;
      for (size_t c = 0; c < row.size(); ++c) {
        if (targets[c] == data::kNoMultiHot) fail_unlabelled(sample);
        payload += pack(Decision{row[c], targets[c] > 0.5f});
      }
      out.push_back({sample, std::move(payload)});
    }
  }

  Evaluation evaluate(const std::vector<EvalRecord>& records, const EvalContext& context) const override {
    const std::vector<double> thresholds = label_thresholds(context.options.thresholds, context.config.label_names);
    const size_t labels = thresholds.size();
    MultiLabelCounts counts(static_cast<int>(labels));
    double loss = 0;
    std::vector<int32_t> targets;
    std::vector<double> scores;
    for (const EvalRecord& record : records) {
      std::vector<int32_t> predicted;
      double sample_loss = 0;
      for (size_t c = 0; c < labels; ++c) {
        const auto decision = unpack<Decision>(record.payload.substr(c * sizeof(Decision), sizeof(Decision)));
        const double x = decision.logit;
        sample_loss += std::max(x, 0.0) - x * decision.target + std::log1p(std::exp(-std::abs(x)));
        targets.push_back(decision.target);
        scores.push_back(sigmoid(x));
        predicted.push_back(scores.back() > thresholds[c]);
      }
      loss += sample_loss / static_cast<double>(labels);
      counts.add(std::span(targets).last(labels), predicted);
    }
    const PrecisionRecallF1 micro = counts.micro(), macro = counts.macro();
    const RocAuc auc = multi_label_roc_auc(targets, scores, static_cast<int>(labels));
    return {{{"loss", loss / static_cast<double>(records.size()), MetricKind::kLoss},
             {"accuracy", counts.subset_accuracy(), MetricKind::kScore},
             {"f1_micro", micro.f1, MetricKind::kScore},
             {"f1_macro", macro.f1, MetricKind::kScore},
             {"precision_micro", micro.precision, MetricKind::kScore},
             {"recall_micro", micro.recall, MetricKind::kScore},
             {"precision_macro", macro.precision, MetricKind::kScore},
             {"recall_macro", macro.recall, MetricKind::kScore},
             {"roc_auc_micro", auc.micro, MetricKind::kScore},
             {"roc_auc_macro", auc.macro, MetricKind::kScore}}};
  }

  std::vector<at::Tensor> probabilities(const std::vector<at::Tensor>& logits, const data::Batch&) const override {
    return {logits[0].to(at::kDouble).sigmoid()};
  }

  std::vector<Json> predictions(const NewTexts& texts, const std::vector<at::Tensor>& probabilities,
                                const std::vector<at::Tensor>& logits, const BertConfig& config,
                                const PredictionOptions& options) const override {
    const std::vector<double> thresholds = label_thresholds(options.thresholds, config.label_names);
    std::vector<Json> results;
    for (int64_t b = 0; b < texts.batch.size(); ++b) {
      const auto row = row_of<double>(probabilities[0], b);
      Json labels = Json::array();
      for (size_t c = 0; c < row.size(); ++c)
        if (row[c] > thresholds[c]) labels.push_back(config.label_names[c]);
      Json result{{"labels", labels}, {"scores", named(row, config)}};
      add_logits(result, logits, b, options);
      results.push_back(std::move(result));
    }
    return results;
  }

  std::string describe(const data::Record& record, const Json& prediction) const override {
    const auto with_score = [&](const Json& label) {
      const auto name = label.get<std::string>();
      return concat(name, " (", four_digits(prediction["scores"][name]), ")");
    };
    const Json& labels = prediction["labels"];
    return shown(record) + "Labels: " + (labels.empty() ? "none" : joined(labels, ", ", with_score));
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

const Task& next_sentence() {
  static const NextSentence task;
  return task;
}

const Task& multi_label() {
  static const MultiLabel task;
  return task;
}

}  // namespace berth::train
