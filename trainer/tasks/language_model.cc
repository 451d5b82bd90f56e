#include "trainer/tasks/language_model.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include "data/check.h"
#include "trainer/metrics/language_model.h"
#include "trainer/tasks/payload.h"
#include "trainer/torch.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;
using Tensors = std::vector<at::Tensor>;

constexpr std::array kRelations{"IsNext", "NotNext"};

// Of one sample.
struct Outcome {
  double loss = 0;  // sums over the masked tokens
  int64_t targets = 0, correct = 0;
  double sentence_loss = 0;  // pretraining
  int32_t sentence_correct = 0;
};

// -log of the probability of `target`, and whether it is the likeliest.
struct Guess {
  double loss;
  bool correct;
};
Guess judge(const at::Tensor& row, int64_t target) {
  const double total = row.logsumexp(0).item<double>();
  return {total - row.const_data_ptr<float>()[target], row.argmax().item<int64_t>() == target};
}

// As they are written.
size_t count_masks(const data::Record& record) {
  constexpr std::string_view kMask = "[MASK]";
  size_t count = 0;
  for (const std::string* text : {&record.text, &record.text_pair})
    for (size_t at = text->find(kMask); at != std::string::npos; at = text->find(kMask, at + kMask.size())) ++count;
  return count;
}

std::vector<float> values_of(const at::Tensor& row) {
  return {row.const_data_ptr<float>(), row.const_data_ptr<float>() + row.numel()};
}

// The top_k tokens for the mask at `at`; `ids` are put back. With other masks, the sequence shows all special tokens.
Json fill(const data::BertTokenizer& tokenizer, std::vector<int32_t>& ids, size_t at, bool only_mask,
          const at::Tensor& probabilities, int64_t top_k) {
  const auto [scores, tokens] = probabilities.topk(std::min(top_k, probabilities.size(0)));
  Json fills = Json::array();
  const int32_t mask = ids[at];
  for (int64_t k = 0; k < tokens.size(0); ++k) {
    const std::array<int32_t, 1> token{static_cast<int32_t>(tokens[k].item<int64_t>())};
    ids[at] = token[0];
    fills.push_back({{"score", scores[k].item<double>()},
                     {"token", token[0]},
                     {"token_str", tokenizer.decode(token, /*skip_special=*/false)},
                     {"sequence", tokenizer.decode(ids, only_mask)}});
  }
  ids[at] = mask;
  return fills;
}

// The fills of record i, whose masks are rows of `probabilities` and `logits` from `row` on.
Json fill_masks(const NewTexts& texts, size_t i, const at::Tensor& probabilities, const at::Tensor& logits,
                const PredictionOptions& options, int64_t& row) {
  std::vector<int32_t> ids = texts.samples[i].input_ids;
  const auto count = static_cast<size_t>(std::count(ids.begin(), ids.end(), texts.tokenizer->vocab().mask()));
  const size_t written = count_masks(texts.records[i]);
  check(count == written, "row ", texts.records[i].row, ": of the text's ", written, " [MASK], ", written - count,
        " would be cut off: raise --max-length");
  Json result{{"masks", Json::array()}};
  for (size_t t = 0; t < ids.size(); ++t) {
    if (ids[t] != texts.tokenizer->vocab().mask()) continue;
    result["masks"].push_back(fill(*texts.tokenizer, ids, t, count == 1, probabilities[row], options.top_k));
    if (options.with_logits) result["logits"].push_back(values_of(logits[row]));
    ++row;
  }
  return result;
}

class MaskedLm : public Task {
 public:
  void configure(BertConfig& config, const std::vector<std::string>&) const override { config.problem_type = ""; }

  data::BatchTransform transform(const data::Vocab& vocab, const data::MaskOptions& masks) const override {
    return
        [masker = std::make_shared<data::Masker>(vocab, masks)](data::Batch& batch, uint64_t epoch) { (*masker)(batch, epoch); };
  }

  // Rows of logits[0] are the masked tokens of the batch, in order.
  void record(const Tensors& logits, const data::Batch& batch, const PredictionOptions&,
              std::vector<EvalRecord>& out) const override {
    int64_t row = 0;
    for (int64_t b = 0; b < batch.size(); ++b) {
      Outcome outcome;
      for (int32_t t = batch.cu_seqlens[static_cast<size_t>(b)]; t < batch.cu_seqlens[static_cast<size_t>(b) + 1]; ++t) {
        const int32_t target = batch.labels[static_cast<size_t>(t)];
        if (target == data::kIgnoreIndex) continue;
        const Guess guess = judge(logits[0][row++], target);
        outcome.loss += guess.loss;
        outcome.correct += guess.correct;
        ++outcome.targets;
      }
      record_sentence(logits, batch, b, outcome);
      out.push_back({batch.sample_ids[static_cast<size_t>(b)], pack(outcome)});
    }
  }

  // Over all masked tokens alike, where run_mlm averages the means of batches.
  Evaluation evaluate(const std::vector<EvalRecord>& records, const EvalContext&) const override {
    const Outcome sum = total(records);
    const double loss = sum.loss / static_cast<double>(sum.targets);
    return {.metrics = {{"loss", loss, MetricKind::kLoss},
                        {"accuracy", accuracy(sum), MetricKind::kScore},
                        {"perplexity", perplexity(loss), MetricKind::kLoss}}};
  }

  void mark_targets(const data::Vocab& vocab, data::Batch& batch) const override { data::target_masks(vocab, batch); }

  Tensors probabilities(const Tensors& logits, const data::Batch&) const override {
    Tensors all;
    for (const at::Tensor& tensor : logits) all.push_back(tensor.to(at::kDouble).softmax(1));
    return all;
  }

  // {"masks": for each [MASK] the likeliest tokens, each as Hugging Face's fill-mask pipeline has it}.
  std::vector<Json> predictions(const NewTexts& texts, const Tensors& probabilities, const Tensors& logits, const BertConfig&,
                                const PredictionOptions& options) const override {
    std::vector<Json> results;
    int64_t row = 0;
    for (size_t i = 0; i < texts.records.size(); ++i) {
      check(count_masks(texts.records[i]) > 0, "row ", texts.records[i].row, ": the text has no [MASK] to fill");
      results.push_back(fill_masks(texts, i, probabilities[0], logits[0], options, row));
    }
    return results;
  }

 protected:
  virtual void record_sentence(const Tensors&, const data::Batch&, int64_t, Outcome&) const {}

  static Outcome total(const std::vector<EvalRecord>& records) {
    Outcome sum;
    for (const EvalRecord& record : records) {
      const auto outcome = unpack<Outcome>(record.payload);
      sum.loss += outcome.loss;
      sum.targets += outcome.targets;
      sum.correct += outcome.correct;
      sum.sentence_loss += outcome.sentence_loss;
      sum.sentence_correct += outcome.sentence_correct;
    }
    check(sum.targets > 0, "the evaluation masks no token at all: raise --mlm-probability, or evaluate more samples");
    return sum;
  }

  static double accuracy(const Outcome& sum) { return static_cast<double>(sum.correct) / static_cast<double>(sum.targets); }
};

class Pretraining final : public MaskedLm {
 public:
  // {"label": "IsNext" or "NotNext", "score", "scores"} of a pair, and the [MASK]s in it, if there are any.
  std::vector<Json> predictions(const NewTexts& texts, const Tensors& probabilities, const Tensors& logits, const BertConfig&,
                                const PredictionOptions& options) const override {
    std::vector<Json> results;
    int64_t row = 0;
    for (size_t i = 0; i < texts.records.size(); ++i) {
      check(texts.records[i].has_pair, "row ", texts.records[i].row,
            ": next-sentence prediction is about two texts: give --text-pair, or a second text column");
      const at::Tensor relation = probabilities[1][static_cast<int64_t>(i)];
      const std::array<double, 2> scores{relation[0].item<double>(), relation[1].item<double>()};
      const size_t best = scores[1] > scores[0] ? 1 : 0;
      Json result{{"label", kRelations[best]},
                  {"score", scores[best]},
                  {"scores", {{kRelations[0], scores[0]}, {kRelations[1], scores[1]}}}};
      result.update(fill_masks(texts, i, probabilities[0], logits[0], options, row));
      if (options.with_logits) result["next_sentence_logits"] = values_of(logits[1][static_cast<int64_t>(i)]);
      results.push_back(std::move(result));
    }
    return results;
  }

  Evaluation evaluate(const std::vector<EvalRecord>& records, const EvalContext&) const override {
    const Outcome sum = total(records);
    const double samples = static_cast<double>(records.size()), loss = sum.loss / static_cast<double>(sum.targets),
                 sentence_loss = sum.sentence_loss / samples;
    return {.metrics = {{"loss", loss + sentence_loss, MetricKind::kLoss},
                        {"accuracy", accuracy(sum), MetricKind::kScore},
                        {"perplexity", perplexity(loss), MetricKind::kLoss},
                        {"mlm_loss", loss, MetricKind::kLoss},
                        {"next_sentence_loss", sentence_loss, MetricKind::kLoss},
                        {"next_sentence_accuracy", sum.sentence_correct / samples, MetricKind::kScore}}};
  }

 protected:
  void record_sentence(const Tensors& logits, const data::Batch& batch, int64_t b, Outcome& outcome) const override {
    const Guess guess = judge(logits[1][b], batch.labels[static_cast<size_t>(batch.tokens() + b)]);
    outcome.sentence_loss = guess.loss;
    outcome.sentence_correct = guess.correct;
  }
};

}  // namespace

const Task& masked_lm() {
  static const MaskedLm task;
  return task;
}

const Task& pretraining() {
  static const Pretraining task;
  return task;
}

}  // namespace berth::train
