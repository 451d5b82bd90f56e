#include "trainer/model/bert.h"

#include "data/check.h"

namespace berth::train {
namespace {

std::string layer_prefix(int64_t layer) { return "bert.encoder.layer." + std::to_string(layer) + "."; }

}  // namespace

Dropout ForwardContext::dropout(double p, Purpose purpose, uint32_t layer) const {
  if (!training) return {};
  return {static_cast<float>(p), philox_key(seed, purpose, static_cast<uint64_t>(step), layer)};
}

std::vector<ParameterSpec> encoder_parameters(const BertConfig& config, bool with_pooler, bool rows) {
  const int64_t h = config.hidden_size, e = config.embedding_columns();
  std::vector<ParameterSpec> specs;
  ParameterSpec words{"bert.embeddings.word_embeddings.weight", {config.vocab_size, e}};
  words.kind = rows ? GradKind::kRows : GradKind::kDense;
  if (config.pad_token_id >= 0) {
    words.init = Init::kNormalPadded;
    words.padding_row = config.pad_token_id;
  }
  specs.push_back(words);
  specs.push_back({"bert.embeddings.position_embeddings.weight", {config.max_position_embeddings, e}});
  if (config.sinusoidal_pos_embds) specs.back().init = Init::kSinusoids;
  if (config.type_vocab_size > 0) specs.push_back({"bert.embeddings.token_type_embeddings.weight", {config.type_vocab_size, e}});
  declare_norm(specs, "bert.embeddings.LayerNorm", e);
  if (e != h) declare_linear(specs, "bert.embeddings.project", e, h);
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer)
    declare_layer(specs, layer_prefix(layer), h, config.intermediate_size);
  if (with_pooler) declare_linear(specs, "bert.pooler.dense", h, h);
  return specs;
}

BertEncoder::BertEncoder(const BertConfig& config, ParameterStore& parameters) : config_(config), parameters_(parameters) {
  embeddings_ = {&parameters["bert.embeddings.word_embeddings.weight"], &parameters["bert.embeddings.position_embeddings.weight"],
                 config.type_vocab_size > 0 ? &parameters["bert.embeddings.token_type_embeddings.weight"] : nullptr,
                 norm_at(parameters, "bert.embeddings.LayerNorm", config.layer_norm_eps), config.pad_token_id};
  if (config.embedding_columns() != config.hidden_size) projection_ = linear_at(parameters, "bert.embeddings.project");
  for (int64_t i = 0; i < config.num_hidden_layers; ++i)
    layers_.push_back(layer_at(parameters, layer_prefix(i), config.layer_norm_eps, config.hidden_act));
}

void BertEncoder::check_ids(const DeviceBatch& batch) const {
  const auto check_table = [](const IdRange& ids, const Parameter* table, const char* what) {
    const int64_t rows = table->value.size(0);
    check(ids.lowest >= 0 && ids.highest < rows, what, " ", ids.lowest < 0 ? ids.lowest : ids.highest, " is outside the model's ",
          rows, ": the data were prepared for another model");
  };
  check_table(batch.input_id_range, embeddings_.words, "token id");
  check_table(batch.position_range, embeddings_.positions, "token position");
  if (embeddings_.types) check_table(batch.token_type_range, embeddings_.types, "segment number");
}

at::Tensor BertEncoder::forward(const DeviceBatch& batch, const ForwardContext& context, const TokenRows& read) const {
  check_ids(batch);
  const TokenRows all = all_rows(batch);
  parameters_.await_values(projection_ ? *projection_->bias : *embeddings_.norm.beta);
  at::Tensor x =
      embed(parameters_, embeddings_,
            {{batch.input_ids, batch.by_word}, {batch.position_ids, batch.by_position}, {batch.token_type_ids, batch.by_type}},
            context.dropout(config_.hidden_dropout_prob, Purpose::kEmbeddingDropout), all.ids, context.compute_type);
  if (projection_) x = linear(parameters_, x, *projection_);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const TokenRows& rows = i + 1 == layers_.size() ? read : all;
    const auto dropout = [&](double p, Purpose purpose) { return context.dropout(p, purpose, static_cast<uint32_t>(i)); };
    parameters_.await_values(*layers_[i].output_norm.beta);
    x = encode(
        parameters_, x, layers_[i],
        {.segments = {batch.cu_seqlens, batch.sequence_ids, batch.max_seqlen, config_.num_attention_heads, rows.first_of_each},
         .rows = rows,
         .attention_dropout = dropout(config_.attention_probs_dropout_prob, Purpose::kAttentionDropout),
         .attention_output_dropout = dropout(config_.attention_output_dropout_prob(), Purpose::kAttentionOutputDropout),
         .output_dropout = dropout(config_.hidden_dropout_prob, Purpose::kFfnOutputDropout),
         .checkpointing = context.gradient_checkpointing});
  }
  parameters_.await_values();  // what comes behind reads the others
  return x;
}

at::Tensor BertEncoder::pool(const at::Tensor& first_tokens) const {
  const Linear dense = linear_at(parameters_, "bert.pooler.dense");
  const Activation activation = config_.family->pooler_act;
  return activation == Activation::kTanh ? at::tanh(linear(parameters_, first_tokens, dense))
                                         : linear_activated(parameters_, first_tokens, dense, activation);
}

}  // namespace berth::train
