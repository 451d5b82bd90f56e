#include "trainer/model/choice_heads.h"

#include "trainer/model/losses.h"
#include "trainer/model/ragged.h"

namespace berth::train {
namespace {

using Tensors = std::vector<at::Tensor>;

// pooler -> dropout -> a score for each choice: [S, 1]; a sample's scores are the logits of its choices.
class MultipleChoice final : public Model {
 public:
  MultipleChoice(const BertConfig& config, ParameterStore& parameters)
      : Model(config, parameters), classifier_(linear_at(parameters, "classifier")) {}

  static std::vector<ParameterSpec> declare(const BertConfig& config, bool rows) {
    std::vector<ParameterSpec> specs = encoder_parameters(config, /*with_pooler=*/true, rows);
    declare_linear(specs, "classifier", config.hidden_size, 1);
    return specs;
  }

  Tensors logits(const DeviceBatch& batch, const ForwardContext& context) const override {
    const at::Tensor pooled = encoder_.pool(encoder_.forward(batch, context, first_token_rows(batch)));
    const Dropout dropout = context.dropout(encoder_.config().classifier_dropout_prob(), Purpose::kClassifierDropout);
    return {linear(encoder_.parameters(), drop(pooled, dropout, first_token_rows(batch).ids), classifier_)};
  }

  at::Tensor loss_sums(const Tensors& logits, const DeviceBatch& batch) const override {
    return choice_cross_entropy_sum(logits[0], batch.labels, batch.cu_samples, batch.most_sequences, label_smoothing()).view({1});
  }
  std::vector<double> target_weights(const data::Batch& batch) const override { return {weight_of(batch.labels)}; }

 private:
  Linear classifier_;
};

// pooler -> 0: the second text follows the first, 1: it does not, [B, 2]. Without dropout, as there.
class NextSentencePredictor final : public Model {
 public:
  NextSentencePredictor(const BertConfig& config, ParameterStore& parameters)
      : Model(config, parameters), relationship_(linear_at(parameters, "cls.seq_relationship")) {}

  static std::vector<ParameterSpec> declare(const BertConfig& config, bool rows) {
    std::vector<ParameterSpec> specs = encoder_parameters(config, /*with_pooler=*/true, rows);
    declare_linear(specs, "cls.seq_relationship", config.hidden_size, 2);
    return specs;
  }

  Tensors logits(const DeviceBatch& batch, const ForwardContext& context) const override {
    const at::Tensor pooled = encoder_.pool(encoder_.forward(batch, context, first_token_rows(batch)));
    return {linear(encoder_.parameters(), pooled, relationship_)};
  }

  at::Tensor loss_sums(const Tensors& logits, const DeviceBatch& batch) const override {
    return cross_entropy(logits[0], batch.labels);
  }
  std::vector<double> target_weights(const data::Batch& batch) const override { return {weight_of(batch.labels)}; }

 private:
  Linear relationship_;
};

}  // namespace

Architecture multiple_choice_architecture() {
  return {data::TaskKind::kMultipleChoice, "BertForMultipleChoice", MultipleChoice::declare, make_head<MultipleChoice>};
}
Architecture next_sentence_architecture() {
  return {data::TaskKind::kNextSentencePrediction, "BertForNextSentencePrediction", NextSentencePredictor::declare,
          make_head<NextSentencePredictor>};
}

}  // namespace berth::train
