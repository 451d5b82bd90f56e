#include "trainer/model/token_heads.h"

#include "data/check.h"
#include "trainer/model/head_layers.h"
#include "trainer/model/losses.h"

namespace berth::train {
namespace {

using Tensors = std::vector<at::Tensor>;

std::span<const int32_t> labels_of(const data::Batch& batch, int64_t begin, int64_t count) {
  check_internal(begin + count <= std::ssize(batch.labels), "a batch of ", batch.labels.size(), " labels where ", begin + count,
                 " are due");
  return std::span(batch.labels).subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
}

class TokenClassifier final : public Model {
 public:
  TokenClassifier(const BertConfig& config, ParameterStore& parameters)
      : Model(config, parameters), layers_(config, parameters), classifier_(linear_at(parameters, "classifier")) {}

  static std::vector<ParameterSpec> declare(const BertConfig& config, bool rows) {
    std::vector<ParameterSpec> specs = encoder_parameters(config, /*with_pooler=*/false, rows);
    HeadLayers::declare(specs, config);
    declare_linear(specs, "classifier", config.head.width(config.hidden_size), label_count(config));
    return specs;
  }

  Tensors logits(const DeviceBatch& batch, const ForwardContext& context) const override {
    const TokenRows rows = all_rows(batch);
    const at::Tensor hidden = encoder_.forward(batch, context, rows);
    const Dropout dropout = context.dropout(encoder_.config().token_dropout_prob(), Purpose::kClassifierDropout);
    return {linear(encoder_.parameters(), layers_.forward(drop(hidden, dropout, rows.ids), context, rows.ids), classifier_)};
  }

  at::Tensor loss_sums(const Tensors& logits, const DeviceBatch& batch) const override {
    return cross_entropy(logits[0], batch.labels);
  }
  std::vector<double> target_weights(const data::Batch& batch) const override {
    return {weight_of(labels_of(batch, 0, batch.tokens()))};
  }

 private:
  HeadLayers layers_;
  Linear classifier_;
};

class QuestionAnswerer final : public Model {
 public:
  QuestionAnswerer(const BertConfig& config, ParameterStore& parameters)
      : Model(config, parameters), outputs_(linear_at(parameters, "qa_outputs")) {}

  static std::vector<ParameterSpec> declare(const BertConfig& config, bool rows) {
    std::vector<ParameterSpec> specs = encoder_parameters(config, /*with_pooler=*/false, rows);
    declare_linear(specs, "qa_outputs", config.hidden_size, 2);
    return specs;
  }

  Tensors logits(const DeviceBatch& batch, const ForwardContext& context) const override {
    const TokenRows rows = all_rows(batch);
    const at::Tensor hidden = encoder_.forward(batch, context, rows);
    const Dropout dropout = context.dropout(encoder_.config().qa_dropout, Purpose::kClassifierDropout);
    return {linear(encoder_.parameters(), drop(hidden, dropout, rows.ids), outputs_)};
  }

  at::Tensor loss_sums(const Tensors& logits, const DeviceBatch& batch) const override {
    return span_cross_entropy_sum(logits[0], batch.labels.view({batch.size(), 2}), batch.cu_seqlens, batch.max_seqlen).view({1});
  }

  // Samples with an answer. Throws if one lies outside its sample.
  std::vector<double> target_weights(const data::Batch& batch) const override {
    check_internal(std::ssize(batch.labels) == 2 * batch.size(), "a span for each of ", batch.size(), " samples is due");
    double count = 0;
    for (int64_t b = 0; b < batch.size(); ++b) {
      const int32_t first = batch.labels[2 * b], last = batch.labels[2 * b + 1],
                    tokens = batch.cu_seqlens[b + 1] - batch.cu_seqlens[b];
      if (first == data::kIgnoreIndex && last == data::kIgnoreIndex) continue;
      check(first >= 0 && first < tokens && last >= 0 && last < tokens, "sample ", batch.sample_ids[b], ": the answer's tokens ",
            first, " to ", last, " lie outside its ", tokens, " tokens");
      ++count;
    }
    return {count};
  }

 private:
  Linear outputs_;
};

class MaskedLm : public Model {
 public:
  MaskedLm(const BertConfig& config, ParameterStore& parameters)
      : Model(config, parameters),
        transform_(linear_at(parameters, "cls.predictions.transform.dense")),
        norm_(norm_at(parameters, "cls.predictions.transform.LayerNorm", config.layer_norm_eps)),
        decoder_{&parameters["bert.embeddings.word_embeddings.weight"], &parameters["cls.predictions.bias"], /*tied=*/true} {}

  static std::vector<ParameterSpec> declare(const BertConfig& config, bool) {
    return declare_with(config, /*with_pooler=*/false);
  }

  Tensors logits(const DeviceBatch& batch, const ForwardContext& context) const override {
    return {predict(encoder_.forward(batch, context, target_rows(batch)))};
  }

  at::Tensor loss_sums(const Tensors& logits, const DeviceBatch& batch) const override {
    return cross_entropy(logits[0], token_labels(batch).index_select(0, batch.targets));
  }
  std::vector<double> target_weights(const data::Batch& batch) const override {
    return {weight_of(labels_of(batch, 0, batch.tokens()))};
  }

 protected:
  static std::vector<ParameterSpec> declare_with(const BertConfig& config, bool with_pooler) {
    std::vector<ParameterSpec> specs = encoder_parameters(config, with_pooler, /*rows=*/false);
    declare_linear(specs, "cls.predictions.transform.dense", config.hidden_size, config.embedding_columns());
    declare_norm(specs, "cls.predictions.transform.LayerNorm", config.embedding_columns());
    specs.push_back({"cls.predictions.bias", {config.vocab_size}, false, GradKind::kDense, Init::kZeros});
    return specs;
  }

  // hidden [N, H] -> [N, vocabulary].
  at::Tensor predict(const at::Tensor& hidden) const {
    const ParameterStore& store = encoder_.parameters();
    const Activation activation = encoder_.config().family->masked_lm_act.value_or(encoder_.config().hidden_act);
    const at::Tensor inner = linear_activated(store, hidden, transform_, activation);
    return linear(store, layer_norm(store, inner, norm_), decoder_);
  }

  static at::Tensor token_labels(const DeviceBatch& batch) { return batch.labels.narrow(0, 0, batch.input_ids.size(0)); }

 private:
  Linear transform_;
  Norm norm_;
  Linear decoder_;
};

class Pretrainer final : public MaskedLm {
 public:
  Pretrainer(const BertConfig& config, ParameterStore& parameters)
      : MaskedLm(config, parameters), next_sentence_(linear_at(parameters, "cls.seq_relationship")) {}

  static std::vector<ParameterSpec> declare(const BertConfig& config, bool) {
    std::vector<ParameterSpec> specs = declare_with(config, /*with_pooler=*/true);
    declare_linear(specs, "cls.seq_relationship", config.hidden_size, 2);
    return specs;
  }

  Tensors logits(const DeviceBatch& batch, const ForwardContext& context) const override {
    const at::Tensor hidden = encoder_.forward(batch, context, join(target_rows(batch), first_token_rows(batch)));
    const int64_t targets = batch.targets.size(0);
    const at::Tensor pooled = encoder_.pool(hidden.narrow(0, targets, hidden.size(0) - targets));
    return {predict(hidden.narrow(0, 0, targets)), linear(encoder_.parameters(), pooled, next_sentence_)};
  }

  at::Tensor loss_sums(const Tensors& logits, const DeviceBatch& batch) const override {
    const at::Tensor relations = batch.labels.narrow(0, batch.input_ids.size(0), batch.size());
    return at::cat({MaskedLm::loss_sums(logits, batch), cross_entropy(logits[1], relations)});
  }
  std::vector<double> target_weights(const data::Batch& batch) const override {
    return {weight_of(labels_of(batch, 0, batch.tokens())), weight_of(labels_of(batch, batch.tokens(), batch.size()))};
  }

 private:
  Linear next_sentence_;
};

}  // namespace

Architecture token_classification_architecture() {
  return {data::TaskKind::kTokenClassification, "BertForTokenClassification", TokenClassifier::declare,
          make_head<TokenClassifier>};
}
Architecture question_answering_architecture() {
  return {data::TaskKind::kQuestionAnswering, "BertForQuestionAnswering", QuestionAnswerer::declare, make_head<QuestionAnswerer>};
}
Architecture masked_lm_architecture() {
  return {data::TaskKind::kMaskedLm, "BertForMaskedLM", MaskedLm::declare, make_head<MaskedLm>};
}
Architecture pretraining_architecture() {
  return {data::TaskKind::kPretraining, "BertForPreTraining", Pretrainer::declare, make_head<Pretrainer>};
}

}  // namespace berth::train
