#include "trainer/model/bert.h"

#include "data/check.h"

namespace berth::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::string layer_prefix(int64_t layer) { return "bert.encoder.layer." + std::to_string(layer) + "."; }

// Devices other than the CPU draw their own dropout masks: here their generator is set to what the next masks depend on. `place`:
// 0 the embeddings, 1 + i layer i.
void seed_device_generator(const DeviceBatch& batch, const ForwardContext& context, int64_t place) {
  if (!context.training || batch.sample_ids.is_cpu()) return;
  const PhiloxKey key = philox_key(context.seed ^ batch.stream << 20, Purpose::kEmbeddingDropout,
                                   static_cast<uint64_t>(context.step), static_cast<uint32_t>(place));
  at::Generator generator = at::globalContext().defaultGenerator(batch.sample_ids.device());
  const std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_current_seed(uint64_t{key[0]} << 32 | key[1]);
}

// Runs `layer` without keeping anything but its input, and again, with a graph, in backward. Dropout is counter-based, so both
// runs are the same.
struct Checkpoint : torch::autograd::Function<Checkpoint> {
  using Layer = std::function<at::Tensor(const at::Tensor&)>;

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& link, const Layer& layer) {
    (void)link;
    ctx->save_for_backward({x});
    ctx->saved_data["layer"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(layer));
    return layer(x);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto holder = c10::static_intrusive_pointer_cast<Holder>(ctx->saved_data["layer"].toCapsule());
    const at::Tensor x = ctx->get_saved_variables()[0].detach();
    x.set_requires_grad(ctx->needs_input_grad(0));
    at::AutoGradMode with_grad(true);
    torch::autograd::backward({holder->layer(x)}, {grads[0]});
    return {x.grad(), at::Tensor(), at::Tensor()};
  }

 private:
  struct Holder : torch::CustomClassHolder {
    explicit Holder(Layer l) : layer(std::move(l)) {}
    Layer layer;
  };
};

}  // namespace

Dropout ForwardContext::dropout(double p, Purpose purpose, uint32_t layer) const {
  if (!training) return {};
  return {static_cast<float>(p), philox_key(seed, purpose, static_cast<uint64_t>(step), layer)};
}

std::vector<ParameterSpec> encoder_parameters(const BertConfig& config, bool with_pooler, bool rows) {
  const int64_t h = config.hidden_size;
  std::vector<ParameterSpec> specs;
  ParameterSpec words{"bert.embeddings.word_embeddings.weight", {config.vocab_size, h}};
  words.kind = rows ? GradKind::kRows : GradKind::kDense;
  if (config.pad_token_id >= 0) {
    words.init = Init::kNormalPadded;
    words.padding_row = config.pad_token_id;
  }
  specs.push_back(words);
  specs.push_back({"bert.embeddings.position_embeddings.weight", {config.max_position_embeddings, h}});
  specs.push_back({"bert.embeddings.token_type_embeddings.weight", {config.type_vocab_size, h}});
  declare_norm(specs, "bert.embeddings.LayerNorm", h);
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string prefix = layer_prefix(layer);
    for (const char* name : {"query", "key", "value"}) declare_linear(specs, prefix + "attention.self." + name, h, h);
    declare_linear(specs, prefix + "attention.output.dense", h, h);
    declare_norm(specs, prefix + "attention.output.LayerNorm", h);
    declare_linear(specs, prefix + "intermediate.dense", h, config.intermediate_size);
    declare_linear(specs, prefix + "output.dense", config.intermediate_size, h);
    declare_norm(specs, prefix + "output.LayerNorm", h);
  }
  if (with_pooler) declare_linear(specs, "bert.pooler.dense", h, h);
  return specs;
}

BertEncoder::BertEncoder(const BertConfig& config, ParameterStore& parameters) : config_(config), parameters_(parameters) {
  const auto linear = [&](const std::string& name) { return linear_at(parameters, name); };
  const auto norm = [&](const std::string& name) { return norm_at(parameters, name, config.layer_norm_eps); };
  embeddings_ = {&parameters["bert.embeddings.word_embeddings.weight"], &parameters["bert.embeddings.position_embeddings.weight"],
                 &parameters["bert.embeddings.token_type_embeddings.weight"], norm("bert.embeddings.LayerNorm"),
                 config.pad_token_id};
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::string p = layer_prefix(i);
    layers_.push_back({linear(p + "attention.self.query"), linear(p + "attention.self.key"), linear(p + "attention.self.value"),
                       linear(p + "attention.output.dense"), linear(p + "intermediate.dense"), linear(p + "output.dense"),
                       norm(p + "attention.output.LayerNorm"), norm(p + "output.LayerNorm")});
  }
}

void BertEncoder::check_ids(const DeviceBatch& batch) const {
  const auto check_table = [](const IdRange& ids, const Parameter* table, const char* what) {
    const int64_t rows = table->value.size(0);
    check(ids.lowest >= 0 && ids.highest < rows, what, " ", ids.lowest < 0 ? ids.lowest : ids.highest, " is outside the model's ",
          rows, ": the data were prepared for another model");
  };
  check_table(batch.input_id_range, embeddings_.words, "token id");
  check_table(batch.position_range, embeddings_.positions, "token position");
  check_table(batch.token_type_range, embeddings_.types, "segment number");
}

at::Tensor BertEncoder::forward(const DeviceBatch& batch, const ForwardContext& context, bool first_tokens_only) const {
  check_ids(batch);
  seed_device_generator(batch, context, 0);
  at::Tensor x = embed(parameters_, embeddings_, {batch.input_ids, batch.position_ids, batch.token_type_ids},
                       context.dropout(config_.hidden_dropout_prob, Purpose::kEmbeddingDropout),
                       {batch.token_samples, batch.position_ids}, context.compute_type);
  const int64_t last = config_.num_hidden_layers - 1;
  for (int64_t i = 0; i <= last; ++i) {
    const bool first_only = first_tokens_only && i == last;
    x = context.gradient_checkpointing && at::GradMode::is_enabled() ? checkpoint_layer(x, i, batch, context, first_only)
                                                                     : forward_layer(x, i, batch, context, first_only);
  }
  return x;
}

at::Tensor BertEncoder::forward_layer(const at::Tensor& x, int64_t index, const DeviceBatch& batch, const ForwardContext& context,
                                      bool first_tokens_only) const {
  seed_device_generator(batch, context, 1 + index);
  const Layer& layer = layers_[index];
  const auto dropout = [&](double p, Purpose purpose) { return context.dropout(p, purpose, static_cast<uint32_t>(index)); };
  Segments segments{batch.cu_seqlens, batch.sample_ids, batch.max_seqlen, config_.num_attention_heads, first_tokens_only};
  RowIds rows{batch.token_samples, batch.position_ids};
  at::Tensor residual = x, q, k, v;
  if (first_tokens_only) {
    residual = x.index_select(0, batch.first_tokens);
    rows = first_token_rows(batch);
    q = linear(parameters_, residual, layer.query);
    const auto projected = linears(parameters_, x, {layer.key, layer.value});
    k = projected[0], v = projected[1];
  } else {
    const auto projected = linears(parameters_, x, {layer.query, layer.key, layer.value});
    q = projected[0], k = projected[1], v = projected[2];
  }
  const at::Tensor attended =
      attend(q, k, v, segments, dropout(config_.attention_probs_dropout_prob, Purpose::kAttentionDropout));
  const at::Tensor middle =
      add_norm(parameters_, linear(parameters_, attended, layer.attention_output), residual, layer.attention_norm,
               dropout(config_.hidden_dropout_prob, Purpose::kAttentionOutputDropout), rows);
  const at::Tensor inner = linear_activated(parameters_, middle, layer.intermediate, config_.hidden_act);
  return add_norm(parameters_, linear(parameters_, inner, layer.output), middle, layer.output_norm,
                  dropout(config_.hidden_dropout_prob, Purpose::kFfnOutputDropout), rows);
}

at::Tensor BertEncoder::checkpoint_layer(const at::Tensor& x, int64_t index, const DeviceBatch& batch,
                                         const ForwardContext& context, bool first_tokens_only) const {
  at::Tensor link = parameters_.anchor().detach();
  for (const Parameter& parameter : parameters_.parameters())
    if (!parameter.frozen && parameter.name.starts_with(layer_prefix(index))) link = parameters_.anchor();
  return Checkpoint::apply(
      x, link, [=, this](const at::Tensor& input) { return forward_layer(input, index, batch, context, first_tokens_only); });
}

at::Tensor BertEncoder::pool(const at::Tensor& first_tokens) const {
  return at::tanh(
      linear(parameters_, first_tokens, {&parameters_["bert.pooler.dense.weight"], &parameters_["bert.pooler.dense.bias"]}));
}

}  // namespace berth::train
