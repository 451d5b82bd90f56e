#include "trainer/tasks/multi_label.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "data/check.h"
#include "data/words.h"
#include "trainer/metrics/classification.h"
#include "trainer/metrics/multi_label.h"
#include "trainer/tasks/analysis.h"
#include "trainer/tasks/payload.h"
#include "trainer/tasks/rows.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

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

  Json analyse(const std::vector<EvalRecord>& records, const EvalContext& context,
               const AnalysisOptions& options) const override {
    const std::vector<std::string>& names = context.config.label_names;
    const std::vector<double> thresholds = label_thresholds(context.options.thresholds, names);
    std::vector<ConfusionMatrix> labels(names.size(), ConfusionMatrix(2));
    std::vector<Judged> judged;
    std::vector<double> surest;  // of a sample's wrong decisions
    std::vector<std::array<Json, 2>> told;
    for (const EvalRecord& record : records) {
      surest.push_back(0);
      auto& [actual, predicted] = told.emplace_back(std::array{Json::array(), Json::array()});
      for (size_t c = 0; c < names.size(); ++c) {
        const auto decision = unpack<Decision>(record.payload.substr(c * sizeof(Decision), sizeof(Decision)));
        const double score = sigmoid(decision.logit);
        const bool said = score > thresholds[c];
        labels[c].add(decision.target, said);
        judged.push_back({score, decision.target != 0});
        if (said != (decision.target != 0)) surest.back() = std::max(surest.back(), said ? score : 1 - score);
        if (decision.target != 0) actual.push_back(names[c]);
        if (said) predicted.push_back(names[c]);
      }
    }
    Json analysis;
    Json& rows = analysis["classes"] = Json::array();
    for (size_t c = 0; c < names.size(); ++c) {
      const int64_t right = labels[c].count(1, 1);
      rows.push_back(class_row(names[c], labels[c].of_class(1), right + labels[c].count(1, 0), right + labels[c].count(0, 1)));
    }
    add_calibration(analysis, judged, "the label holds", "it does not");
    const SampleTexts texts(context.split, options.tokenizer);
    add_mistakes(
        analysis, surest,
        [&](size_t i) {
          Json mistake = texts.describe(records[i].sample);
          mistake.update({{"actual", told[i][0]}, {"predicted", told[i][1]}});
          if (surest[i] > 0) mistake["score"] = surest[i];
          return mistake;
        },
        options);
    return analysis;
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

const Task& multi_label() {
  static const MultiLabel task;
  return task;
}

}  // namespace berth::train
