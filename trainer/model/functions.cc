#include "trainer/model/functions.h"

#include "data/check.h"
#include "trainer/kernels/attention.h"
#include "trainer/kernels/gemm.h"
#include "trainer/kernels/norm.h"
#include "trainer/kernels/pointwise.h"

namespace berth::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// What an autograd node keeps beside tensors: pointers to parameters, which live in the store and outlive every graph.
template <class T>
void keep(AutogradContext* ctx, const char* name, const T* pointer) {
  ctx->saved_data[name] = static_cast<int64_t>(reinterpret_cast<intptr_t>(pointer));
}
template <class T>
const T* kept(AutogradContext* ctx, const char* name) {
  return reinterpret_cast<const T*>(static_cast<intptr_t>(ctx->saved_data[name].toInt()));
}

at::Tensor weight_of(const Parameter& parameter, at::ScalarType type) {
  check_internal(parameter.compute_value.scalar_type() == type, "no copy of ", parameter.name,
                 " in the compute type: ", "ParameterStore::enable_compute_copy() was not called");
  return parameter.compute_value;
}

// An input that requires a gradient iff one of the parameters takes one: see ParameterStore::anchor().
at::Tensor link_to(const ParameterStore& store, std::initializer_list<const Parameter*> parameters) {
  for (const Parameter* parameter : parameters)
    if (!parameter->frozen) return store.anchor();
  return store.anchor().detach();
}

// Backward of one linear layer: adds to the gradients of its parameters and announces them.
void backward_parameters(const ParameterStore& store, const at::Tensor& x, const at::Tensor& dy, const Parameter& weight,
                         const Parameter& bias, bool tied) {
  if (!bias.frozen) {
    linear_backward_bias(dy, bias.grad);
    store.announce_grad(bias.index);
  }
  if (!weight.frozen) {
    linear_backward_weight(dy, x, weight.grad);
    if (!tied) store.announce_grad(weight.index);
  }
}

void announce(const ParameterStore& store, const Parameter& parameter) {
  if (!parameter.frozen) store.announce_grad(parameter.index);
}

// Indices of parameters are kept as integers; Parameter objects stay where they are for the store's life.
void keep_parameters(AutogradContext* ctx, const ParameterStore* store, const std::vector<const Parameter*>& parameters) {
  std::vector<int64_t> addresses;
  for (const Parameter* parameter : parameters) addresses.push_back(static_cast<int64_t>(reinterpret_cast<intptr_t>(parameter)));
  ctx->saved_data["parameters"] = addresses;
  keep(ctx, "store", store);
}
std::vector<const Parameter*> kept_parameters(AutogradContext* ctx) {
  std::vector<const Parameter*> parameters;
  for (const int64_t address : ctx->saved_data["parameters"].toIntVector())
    parameters.push_back(reinterpret_cast<const Parameter*>(static_cast<intptr_t>(address)));
  return parameters;
}

void keep_dropout(AutogradContext* ctx, const Dropout& dropout) {
  ctx->saved_data["p"] = static_cast<double>(dropout.p);
  ctx->saved_data["key"] = static_cast<int64_t>(uint64_t{dropout.key[0]} << 32 | dropout.key[1]);
}
Dropout kept_dropout(AutogradContext* ctx) {
  const auto key = static_cast<uint64_t>(ctx->saved_data["key"].toInt());
  return {static_cast<float>(ctx->saved_data["p"].toDouble()), {static_cast<uint32_t>(key >> 32), static_cast<uint32_t>(key)}};
}

// `link`, here and below: see link_to.
struct LinearFunction : Function<LinearFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& /*link*/, const ParameterStore* store,
                               const std::vector<Linear>& layers) {
    ctx->set_materialize_grads(false);
    ctx->save_for_backward({x});
    ctx->saved_data["tied"] = layers.back().tied;
    std::vector<const Parameter*> parameters;
    variable_list outputs;
    for (const Linear& layer : layers) {
      outputs.push_back(linear_forward(x, weight_of(*layer.weight, x.scalar_type()), layer.bias->value));
      parameters.insert(parameters.end(), {layer.weight, layer.bias});
    }
    keep_parameters(ctx, store, parameters);
    return outputs;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const at::Tensor x = ctx->get_saved_variables()[0];
    const auto parameters = kept_parameters(ctx);
    at::Tensor dx;
    for (size_t i = grads.size(); i-- > 0;) {
      if (!grads[i].defined()) continue;
      const at::Tensor dy = grads[i].contiguous();
      const Parameter &weight = *parameters[2 * i], &bias = *parameters[2 * i + 1];
      backward_parameters(*kept<ParameterStore>(ctx, "store"), x, dy, weight, bias, ctx->saved_data["tied"].toBool());
      if (!ctx->needs_input_grad(0)) continue;
      const bool accumulate = dx.defined();
      if (!accumulate) dx = at::empty_like(x);
      linear_backward_input(dy, weight_of(weight, x.scalar_type()), dx, accumulate);
    }
    return {dx, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct LinearActivatedFunction : Function<LinearActivatedFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& /*link*/, const ParameterStore* store,
                            const Linear& layer, Activation activation) {
    const at::Tensor inner = linear_forward(x, weight_of(*layer.weight, x.scalar_type()), layer.bias->value);
    const at::Tensor out = activation_forward(inner, activation);  // inner now holds the derivative
    ctx->save_for_backward({x, inner});
    keep_parameters(ctx, store, {layer.weight, layer.bias});
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto parameters = kept_parameters(ctx);
    const at::Tensor dy = activation_backward(grads[0], saved[1]);
    backward_parameters(*kept<ParameterStore>(ctx, "store"), saved[0], dy, *parameters[0], *parameters[1], false);
    at::Tensor dx;
    if (ctx->needs_input_grad(0)) {
      dx = at::empty_like(saved[0]);
      linear_backward_input(dy, weight_of(*parameters[0], dy.scalar_type()), dx, false);
    }
    return {dx, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct AddNormFunction : Function<AddNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& residual, const at::Tensor& /*link*/,
                            const ParameterStore* store, const Norm& norm, const Dropout& dropout, const RowIds& rows) {
    NormState state;
    const at::Tensor out = add_norm_forward(x, residual, norm.gamma->value, norm.beta->value, norm.eps, dropout, rows, state);
    ctx->save_for_backward({state.normalized, state.rstd, rows.samples, rows.positions});
    keep_parameters(ctx, store, {norm.gamma, norm.beta});
    keep_dropout(ctx, dropout);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto parameters = kept_parameters(ctx);
    const auto [dx, d_residual] = add_norm_backward(grads[0], {saved[0], saved[1]}, parameters[0]->value, kept_dropout(ctx),
                                                    {saved[2], saved[3]}, parameters[0]->grad, parameters[1]->grad);
    for (const Parameter* parameter : parameters) announce(*kept<ParameterStore>(ctx, "store"), *parameter);
    return {dx, d_residual, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct AttendFunction : Function<AttendFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const Segments& segments, const Dropout& dropout) {
    at::Tensor weights;
    const at::Tensor out = attention_forward(q, k, v, segments, dropout, weights);
    ctx->save_for_backward({q, k, v, weights, segments.cu_seqlens, segments.samples});
    ctx->saved_data["sizes"] = std::vector<int64_t>{segments.max_seqlen, segments.heads, segments.first_query_only};
    keep_dropout(ctx, dropout);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto sizes = ctx->saved_data["sizes"].toIntVector();
    const Segments segments{saved[4], saved[5], sizes[0], sizes[1], sizes[2] != 0};
    const auto [dq, dk, dv] = attention_backward(grads[0], saved[0], saved[1], saved[2], saved[3], segments, kept_dropout(ctx));
    return {dq, dk, dv, at::Tensor(), at::Tensor()};
  }
};

struct DropFunction : Function<DropFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const Dropout& dropout, const RowIds& rows) {
    ctx->save_for_backward({rows.samples, rows.positions});
    keep_dropout(ctx, dropout);
    return dropout_rows(x, dropout, rows);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    return {dropout_rows(grads[0], kept_dropout(ctx), {saved[0], saved[1]}), at::Tensor(), at::Tensor()};
  }
};

// The CPU's embeddings: one kernel.
struct EmbedFunction : Function<EmbedFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& /*link*/, const ParameterStore* store, const Embeddings& e,
                            const EmbeddingIds& ids, const Dropout& dropout, const RowIds& rows, at::ScalarType type) {
    NormState state;
    const at::Tensor out =
        embed_forward({e.words->value, e.positions->value, e.types->value, ids.words, ids.positions, ids.types},
                      e.norm.gamma->value, e.norm.beta->value, e.norm.eps, dropout, rows, type, state);
    ctx->save_for_backward({state.normalized, state.rstd, rows.samples, rows.positions, ids.words, ids.positions, ids.types});
    keep_parameters(ctx, store, {e.words, e.positions, e.types, e.norm.gamma, e.norm.beta});
    keep_dropout(ctx, dropout);
    ctx->saved_data["padding"] = e.padding_id;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto parameters = kept_parameters(ctx);
    const at::Tensor d = embed_backward(grads[0], {saved[0], saved[1]}, parameters[3]->value, kept_dropout(ctx),
                                        {saved[2], saved[3]}, parameters[3]->grad, parameters[4]->grad);
    for (int table = 0; table < 3; ++table)
      if (!parameters[table]->frozen)
        scatter_rows(d, saved[4 + table], table == 0 ? ctx->saved_data["padding"].toInt() : -1, parameters[table]->grad);
    for (const Parameter* parameter : parameters) announce(*kept<ParameterStore>(ctx, "store"), *parameter);
    return variable_list(7);
  }
};

// Other devices' embeddings: the sum of the three tables' rows, fp32, for norm_reference to follow.
struct EmbeddingSum : Function<EmbeddingSum> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& /*link*/, const ParameterStore* store,
                            const Embeddings& embeddings, const EmbeddingIds& ids) {
    ctx->save_for_backward({ids.words, ids.positions, ids.types});
    keep_parameters(ctx, store, {embeddings.words, embeddings.positions, embeddings.types});
    ctx->saved_data["padding"] = embeddings.padding_id;
    return embeddings.words->value.index_select(0, ids.words) + embeddings.positions->value.index_select(0, ids.positions) +
           embeddings.types->value.index_select(0, ids.types);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto parameters = kept_parameters(ctx);
    const variable_list ids = ctx->get_saved_variables();
    for (int table = 0; table < 3; ++table) {
      if (parameters[table]->frozen) continue;
      at::Tensor d = grads[0];
      if (table == 0) d = d.masked_fill(ids[0].eq(ctx->saved_data["padding"].toInt()).unsqueeze(1), 0);
      parameters[table]->grad.index_add_(0, ids[table], d);
      announce(*kept<ParameterStore>(ctx, "store"), *parameters[table]);
    }
    return variable_list(4);
  }
};

}  // namespace

void declare_linear(std::vector<ParameterSpec>& specs, const std::string& name, int64_t in, int64_t out) {
  specs.push_back({name + ".weight", {out, in}});
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

std::vector<at::Tensor> linears(const ParameterStore& store, const at::Tensor& x, const std::vector<Linear>& layers) {
  at::Tensor link = store.anchor().detach();
  for (const Linear& layer : layers)
    if (!layer.weight->frozen || !layer.bias->frozen) link = store.anchor();
  return LinearFunction::apply(x.contiguous(), link, &store, layers);
}

at::Tensor linear(const ParameterStore& store, const at::Tensor& x, const Linear& layer) { return linears(store, x, {layer})[0]; }

at::Tensor linear_activated(const ParameterStore& store, const at::Tensor& x, const Linear& layer, Activation activation) {
  if (!x.is_cpu()) return activation_reference(linear(store, x, layer), activation);
  return LinearActivatedFunction::apply(x.contiguous(), link_to(store, {layer.weight, layer.bias}), &store, layer, activation);
}

at::Tensor embed(const ParameterStore& store, const Embeddings& embeddings, const EmbeddingIds& ids, const Dropout& dropout,
                 const RowIds& rows, at::ScalarType type) {
  const Norm& norm = embeddings.norm;
  const at::Tensor link = link_to(store, {embeddings.words, embeddings.positions, embeddings.types, norm.gamma, norm.beta});
  if (ids.words.is_cpu()) return EmbedFunction::apply(link, &store, embeddings, ids, dropout, rows, type);
  const at::Tensor sum = EmbeddingSum::apply(link, &store, embeddings, ids);
  return norm_reference(sum, norm.gamma->value, norm.beta->value, norm.eps, dropout, rows).to(type);
}

at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Segments& segments,
                  const Dropout& dropout) {
  if (!q.is_cpu()) return attention_reference(q, k, v, segments, dropout);
  return AttendFunction::apply(q, k, v, segments, dropout);
}

at::Tensor add_norm(const ParameterStore& store, const at::Tensor& x, const at::Tensor& residual, const Norm& norm,
                    const Dropout& dropout, const RowIds& rows) {
  if (!x.is_cpu()) return add_norm_reference(x, residual, norm.gamma->value, norm.beta->value, norm.eps, dropout, rows);
  return AddNormFunction::apply(x, residual, link_to(store, {norm.gamma, norm.beta}), &store, norm, dropout, rows);
}

at::Tensor drop(const at::Tensor& x, const Dropout& dropout, const RowIds& rows) {
  if (!dropout.on() || !x.is_cpu()) return dropout_reference(x, dropout, rows);
  return DropFunction::apply(x, dropout, rows);
}

}  // namespace berth::train
