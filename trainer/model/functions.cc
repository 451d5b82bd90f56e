#include "trainer/model/functions.h"

#include "data/check.h"
#include "trainer/kernels/kept.h"

namespace berth::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Parameters and stores outlive every graph. What a node keeps beside tensors:
struct LinearCall {
  const ParameterStore* store;
  Linear layer;
  Activation activation;
};
struct NormCall {
  const ParameterStore* store;
  Norm norm;
};
struct EmbedCall {
  const ParameterStore* store;
  Embeddings embeddings;
  EmbeddingIds ids;
  Dropout dropout;
  RowIds rows;
};
struct DropCall {
  Dropout dropout;
  RowIds rows;
};

// Adds to the weight's gradient and, unless it comes from elsewhere, the bias's, and announces both; the gradient of x, if it is
// wanted.
at::Tensor backward_linear(AutogradContext* ctx, const LinearCall& call, const at::Tensor& x, const at::Tensor& dy,
                           bool with_bias) {
  const Kernels& kernels = kernels_of(dy);
  const Parameter &weight = *call.layer.weight, &bias = *call.layer.bias;
  if (with_bias && !bias.frozen) kernels.add_column_sums(dy, bias.grad);
  announce(*call.store, bias);
  if (!weight.frozen) kernels.linear_backward_weight(dy, x, weight.grad, !call.store->take_stale(weight.index));
  if (!call.layer.tied) announce(*call.store, weight);
  if (!ctx->needs_input_grad(0)) return {};
  at::Tensor dx = at::empty_like(x);
  kernels.linear_backward_input(dy, value_in(weight, x.scalar_type()), dx, false);
  return dx;
}

at::Tensor forward_linear(const at::Tensor& x, const Linear& layer) {
  return kernels_of(x).linear_forward(x, value_in(*layer.weight, x.scalar_type()), value_in(*layer.bias, x.scalar_type()));
}

// `link`, here and below: see link_to.
struct LinearFunction : Function<LinearFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& /*link*/, const LinearCall& call) {
    ctx->save_for_backward({x});
    keep(ctx, call);
    return forward_linear(x, call.layer);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto& call = kept<LinearCall>(ctx);
    return {backward_linear(ctx, call, ctx->get_saved_variables()[0], grads[0].contiguous(), true), at::Tensor(), at::Tensor()};
  }
};

struct LinearActivatedFunction : Function<LinearActivatedFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& /*link*/, const LinearCall& call) {
    const at::Tensor inner = forward_linear(x, call.layer);
    const at::Tensor out = kernels_of(x).activation_forward(inner, call.activation);
    ctx->save_for_backward({x, inner});
    keep(ctx, call);
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto& call = kept<LinearCall>(ctx);
    const at::Tensor dy =
        kernels_of(grads[0]).activation_backward(grads[0].contiguous(), saved[1], call.activation, call.layer.bias->grad);
    return {backward_linear(ctx, call, saved[0], dy, false), at::Tensor(), at::Tensor()};
  }
};

struct LayerNormFunction : Function<LayerNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& /*link*/, const NormCall& call) {
    NormState state;
    const at::Tensor out = kernels_of(x).add_norm_forward(x, at::zeros_like(x), call.norm.gamma->value, call.norm.beta->value,
                                                          call.norm.eps, {}, {}, state);
    ctx->save_for_backward({state.normalized, state.rstd});
    keep(ctx, call);
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto& call = kept<NormCall>(ctx);
    const Norm& norm = call.norm;
    const auto [dx, same] = kernels_of(grads[0]).add_norm_backward(grads[0].contiguous(), {saved[0], saved[1]}, norm.gamma->value,
                                                                   {}, {}, norm.gamma->grad, norm.beta->grad, {});
    for (const Parameter* parameter : {norm.gamma, norm.beta}) announce(*call.store, *parameter);
    return {dx, at::Tensor(), at::Tensor()};
  }
};

struct EmbedFunction : Function<EmbedFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& /*link*/, const EmbedCall& call, at::ScalarType type) {
    const Embeddings& e = call.embeddings;
    NormState state;
    const at::Tensor out =
        kernels_of(e.words->value)
            .embed_forward({e.words->value, e.positions->value, e.types ? e.types->value : at::Tensor(), call.ids.words,
                            call.ids.positions, call.ids.types},
                           e.norm.gamma->value, e.norm.beta->value, e.norm.eps, call.dropout, call.rows, type, state);
    ctx->save_for_backward({state.normalized, state.rstd});
    keep(ctx, call);
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto& call = kept<EmbedCall>(ctx);
    const Embeddings& e = call.embeddings;
    const Kernels& kernels = kernels_of(grads[0]);
    const at::Tensor d = kernels.embed_backward(grads[0].contiguous(), {saved[0], saved[1]}, e.norm.gamma->value, call.dropout,
                                                call.rows, e.norm.gamma->grad, e.norm.beta->grad);
    for (const Parameter* parameter : {e.norm.gamma, e.norm.beta}) announce(*call.store, *parameter);
    const auto add = [&](const Parameter* table, const TableRows& rows, int64_t skipped) {
      if (!table || table->frozen) return;
      kernels.add_rows(d, rows, skipped, table->grad);
      announce(*call.store, *table);
    };
    add(e.types, call.ids.types, -1);
    add(e.positions, call.ids.positions, -1);
    add(e.words, call.ids.words, e.padding_id);
    return variable_list(3);
  }
};

struct DropFunction : Function<DropFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const DropCall& call) {
    keep(ctx, call);
    return kernels_of(x).dropout_rows(x, call.dropout, call.rows);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto& call = kept<DropCall>(ctx);
    return {kernels_of(grads[0]).dropout_rows(grads[0].contiguous(), call.dropout, call.rows), at::Tensor()};
  }
};

}  // namespace

void declare_linear(std::vector<ParameterSpec>& specs, const std::string& name, int64_t in, int64_t out) {
  specs.push_back({.name = name + ".weight", .shape = {out, in}, .by_products = true});
  specs.push_back({name + ".bias", {out}, false, GradKind::kDense, Init::kZeros});
}

void declare_norm(std::vector<ParameterSpec>& specs, const std::string& name, int64_t size) {
  specs.push_back({name + ".weight", {size}, false, GradKind::kDense, Init::kOnes});
  specs.push_back({name + ".bias", {size}, false, GradKind::kDense, Init::kZeros});
}

Linear linear_at(ParameterStore& store, const std::string& name) { return {&store[name + ".weight"], &store[name + ".bias"]}; }

Norm norm_at(ParameterStore& store, const std::string& name, double eps) {
  return {&store[name + ".weight"], &store[name + ".bias"], eps};
}

at::Tensor value_in(const Parameter& parameter, at::ScalarType type) {
  check_internal(parameter.compute_value.scalar_type() == kernels_of(parameter.value).weight_type(type) &&
                     (type == at::kFloat || !parameter.compute_value.is_alias_of(parameter.value)),
                 "no copy of ", parameter.name, " in the compute type: ", "ParameterStore::enable_compute_copy() was not called");
  return parameter.compute_value;
}

at::Tensor link_to(const ParameterStore& store, std::initializer_list<const Parameter*> parameters) {
  for (const Parameter* parameter : parameters)
    if (parameter && !parameter->frozen) return store.anchor();
  return store.anchor().detach();
}

void announce(const ParameterStore& store, const Parameter& parameter) {
  if (!parameter.frozen) store.announce_grad(parameter.index);
}

at::Tensor linear(const ParameterStore& store, const at::Tensor& x, const Linear& layer) {
  return LinearFunction::apply(x.contiguous(), link_to(store, {layer.weight, layer.bias}), LinearCall{&store, layer, {}});
}

at::Tensor linear_activated(const ParameterStore& store, const at::Tensor& x, const Linear& layer, Activation activation) {
  return LinearActivatedFunction::apply(x.contiguous(), link_to(store, {layer.weight, layer.bias}),
                                        LinearCall{&store, layer, activation});
}

at::Tensor layer_norm(const ParameterStore& store, const at::Tensor& x, const Norm& norm) {
  return LayerNormFunction::apply(x.contiguous(), link_to(store, {norm.gamma, norm.beta}), NormCall{&store, norm});
}

at::Tensor embed(const ParameterStore& store, const Embeddings& embeddings, const EmbeddingIds& ids, const Dropout& dropout,
                 const RowIds& rows, at::ScalarType type) {
  const Norm& norm = embeddings.norm;
  return EmbedFunction::apply(link_to(store, {embeddings.words, embeddings.positions, embeddings.types, norm.gamma, norm.beta}),
                              EmbedCall{&store, embeddings, ids, dropout, rows}, type);
}

at::Tensor drop(const at::Tensor& x, const Dropout& dropout, const RowIds& rows) {
  return dropout.on() ? DropFunction::apply(x.contiguous(), DropCall{dropout, rows}) : x;
}

}  // namespace berth::train
