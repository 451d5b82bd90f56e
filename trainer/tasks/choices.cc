#include "trainer/tasks/choices.h"

#include <cmath>

#include "data/check.h"
#include "trainer/tasks/analysis.h"
#include "trainer/tasks/payload.h"
#include "trainer/tasks/rows.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;
using Tensors = std::vector<at::Tensor>;

// Of sample b, one a choice; `rows` [S, 1].
at::Tensor choices_of(const at::Tensor& rows, const data::Batch& batch, int64_t b) {
  const int32_t begin = batch.cu_samples[static_cast<size_t>(b)], end = batch.cu_samples[static_cast<size_t>(b) + 1];
  return rows.view({-1}).slice(0, begin, end);
}

class MultipleChoice final : public Task {
  struct Outcome {
    double loss, score;  // the probability of `predicted`
    int32_t label, predicted;
  };

 public:
  void configure(BertConfig& config, const std::vector<std::string>&) const override {
    config.label_names.clear();
    config.problem_type = "";
  }

  void record(const Tensors& logits, const data::Batch& batch, const PredictionOptions&,
              std::vector<EvalRecord>& out) const override {
    for (int64_t b = 0; b < batch.size(); ++b) {
      const int64_t sample = batch.sample_ids[static_cast<size_t>(b)];
      const int32_t label = batch.labels[static_cast<size_t>(b)];
      check(label != data::kIgnoreIndex, "sample ", sample, " has no label: this split can be predicted, not evaluated");
      const at::Tensor scores = choices_of(logits[0], batch, b).to(at::kDouble);
      const at::Tensor log_probabilities = scores.log_softmax(0);
      const auto best = scores.argmax().item<int64_t>();
      out.push_back({sample, pack(Outcome{.loss = -log_probabilities[label].item<double>(),
                                          .score = std::exp(log_probabilities[best].item<double>()),
                                          .label = label,
                                          .predicted = static_cast<int32_t>(best)})});
    }
  }

  Evaluation evaluate(const std::vector<EvalRecord>& records, const EvalContext&) const override {
    double loss = 0;
    int64_t correct = 0;
    for (const EvalRecord& record : records) {
      const auto outcome = unpack<Outcome>(record.payload);
      loss += outcome.loss;
      correct += outcome.label == outcome.predicted;
    }
    const auto samples = static_cast<double>(records.size());
    return {
        {{"loss", loss / samples, MetricKind::kLoss}, {"accuracy", static_cast<double>(correct) / samples, MetricKind::kScore}}};
  }

  Json analyse(const std::vector<EvalRecord>& records, const EvalContext& context,
               const AnalysisOptions& options) const override {
    std::vector<Judged> judged;
    std::vector<double> surest;
    for (const EvalRecord& record : records) {
      const auto outcome = unpack<Outcome>(record.payload);
      judged.push_back({outcome.score, outcome.label == outcome.predicted});
      surest.push_back(judged.back().right ? 0 : outcome.score);
    }
    Json analysis;
    add_calibration(analysis, judged);
    const SampleTexts texts(context.split, options.tokenizer);
    add_mistakes(
        analysis, surest,
        [&](size_t i) {
          const auto outcome = unpack<Outcome>(records[i].payload);
          const data::Batch batch = texts.read(records[i].sample);
          // Of the whole sequence: where a text ends and a choice begins differs between data sets.
          const auto choice = [&](int32_t c) {
            const auto at = static_cast<size_t>(c);
            return clipped(texts.decode(batch, batch.cu_seqlens[at], batch.cu_seqlens[at + 1]));
          };
          return Json{{"row", texts.row(records[i].sample)},
                      {"text", ""},
                      {"actual", choice(outcome.label)},
                      {"predicted", choice(outcome.predicted)},
                      {"score", outcome.score}};
        },
        options);
    return analysis;
  }

  Tensors probabilities(const Tensors& logits, const data::Batch& batch) const override {
    std::vector<at::Tensor> parts;
    for (int64_t b = 0; b < batch.size(); ++b) parts.push_back(choices_of(logits[0], batch, b).to(at::kDouble).softmax(0));
    return {at::cat(parts).view({-1, 1})};
  }

  // {"choices": their texts, "label": the likeliest one's number, "choice": its text, "score", "scores": of each}
  std::vector<Json> predictions(const NewTexts& texts, const Tensors& probabilities, const Tensors& logits, const BertConfig&,
                                const PredictionOptions& options) const override {
    const auto numbers = [&](const at::Tensor& rows, int64_t b) {
      const at::Tensor part = choices_of(rows, texts.batch, b).to(at::kDouble);
      return std::vector<double>(part.const_data_ptr<double>(), part.const_data_ptr<double>() + part.numel());
    };
    std::vector<Json> results;
    for (int64_t b = 0; b < texts.batch.size(); ++b) {
      const std::vector<double> scores = numbers(probabilities[0], b);
      const size_t best = argmax(std::span<const double>(scores));
      const std::vector<std::string>& choices = texts.records[static_cast<size_t>(b)].choices;
      Json result{{"choices", choices}, {"label", best}, {"choice", choices[best]}, {"score", scores[best]}, {"scores", scores}};
      if (options.with_logits) result["logits"] = numbers(logits[0], b);
      results.push_back(std::move(result));
    }
    return results;
  }
};

}  // namespace

const Task& multiple_choice() {
  static const MultipleChoice task;
  return task;
}

}  // namespace berth::train
