#include "trainer/tasks/sequence.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "trainer/metrics/classification.h"
#include "trainer/metrics/regression.h"
#include "trainer/tasks/analysis.h"
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

class SequenceClassification : public Task {
  // Of more classes, the probabilities are not kept and ROC AUC is not reported.
  static constexpr int kMaxScored = 256;

  // The payload; behind it the probability of each class, if they are kept.
  struct Outcome {
    double loss, score;  // the probability of `predicted`
    int32_t label, predicted;
  };
  static Outcome outcome_of(const EvalRecord& record) { return unpack<Outcome>(record.payload.substr(0, sizeof(Outcome))); }

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
      const size_t best = argmax(row);
      std::string payload = pack(Outcome{.loss = total - row[static_cast<size_t>(label)],
                                         .score = std::exp(row[best] - total),
                                         .label = label,
                                         .predicted = static_cast<int32_t>(best)});
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
      const Outcome outcome = outcome_of(record);
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

  Json analyse(const std::vector<EvalRecord>& records, const EvalContext& context,
               const AnalysisOptions& options) const override {
    const std::vector<std::string>& names = context.config.label_names;
    ConfusionMatrix matrix(static_cast<int>(names.size()));
    std::vector<Judged> judged;
    std::vector<double> surest;
    for (const EvalRecord& record : records) {
      const Outcome outcome = outcome_of(record);
      matrix.add(outcome.label, outcome.predicted);
      judged.push_back({outcome.score, outcome.label == outcome.predicted});
      surest.push_back(judged.back().right ? 0 : outcome.score);
    }
    Json analysis;
    if (names.size() == 2) analysis["positive"] = names[1];  // of f1, precision, recall
    add_classes(analysis, matrix, names);
    add_calibration(analysis, judged);
    const SampleTexts texts(context.split, options.tokenizer);
    add_mistakes(
        analysis, surest,
        [&](size_t i) {
          const Outcome outcome = outcome_of(records[i]);
          Json mistake = texts.describe(records[i].sample);
          mistake["actual"] = names[static_cast<size_t>(outcome.label)];
          mistake["predicted"] = names[static_cast<size_t>(outcome.predicted)];
          mistake["score"] = outcome.score;
          return mistake;
        },
        options);
    return analysis;
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

  Json analyse(const std::vector<EvalRecord>& records, const EvalContext& context,
               const AnalysisOptions& options) const override {
    return SequenceClassification::analyse(records, {with_names(context.config), context.split, context.options}, options);
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

  Json analyse(const std::vector<EvalRecord>& records, const EvalContext& context,
               const AnalysisOptions& options) const override {
    constexpr size_t kMostPoints = 1000;
    Json analysis;
    Json& points = analysis["points"] = Json::array();
    std::vector<double> errors;
    for (size_t i = 0; i < records.size(); ++i) {
      const auto outcome = unpack<Outcome>(records[i].payload);
      errors.push_back(std::abs(outcome.predicted - outcome.target));
      if (i % (records.size() / kMostPoints + 1) == 0) points.push_back({outcome.target, outcome.predicted});
    }
    const SampleTexts texts(context.split, options.tokenizer);
    add_mistakes(
        analysis, errors,
        [&](size_t i) {
          const auto outcome = unpack<Outcome>(records[i].payload);
          Json mistake = texts.describe(records[i].sample);
          mistake.update({{"actual", outcome.target}, {"predicted", outcome.predicted}, {"error", errors[i]}});
          return mistake;
        },
        options);
    return analysis;
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

}  // namespace berth::train
