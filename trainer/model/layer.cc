#include "trainer/model/layer.h"

#include "data/check.h"
#include "trainer/kernels/kept.h"

namespace berth::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Linear layers of one input, as one: rows of the weights and elements of the biases follow each other in memory.
struct Joined {
  std::vector<const Linear*> parts;  // in the order of their slots, which is the order of the output's columns

  // `of`: a parameter's tensor.
  template <class Of>
  at::Tensor weights(const Of& of) const {
    const at::Tensor& first = of(*parts[0]->weight);
    return first.as_strided({rows(), first.size(1)}, {first.size(1), 1});
  }
  template <class Of>
  at::Tensor biases(const Of& of) const {
    return of(*parts[0]->bias).as_strided({rows()}, {1});
  }
  int64_t rows() const {
    int64_t sum = 0;
    for (const Linear* part : parts) sum += part->weight->value.size(0);
    return sum;
  }
};

bool side_by_side(const Parameter& a, const Parameter& b) {
  return a.bucket == b.bucket && a.frozen == b.frozen && a.offset + a.value.numel() == b.offset;
}

// The fewest products: `layers` in the order of their slots.
std::vector<Joined> join(std::initializer_list<const Linear*> layers) {
  std::vector<Joined> result;
  for (const Linear* layer : layers) {
    const Linear* last = result.empty() ? nullptr : result.back().parts.back();
    if (last && side_by_side(*last->weight, *layer->weight) && side_by_side(*last->bias, *layer->bias))
      result.back().parts.push_back(layer);
    else
      result.push_back({{layer}});
  }
  return result;
}

// x [N, in] -> [N, all layers' columns].
at::Tensor project(const at::Tensor& x, const std::vector<Joined>& layers) {
  std::vector<at::Tensor> outputs;
  const auto value = [&](const Parameter& parameter) { return value_in(parameter, x.scalar_type()); };
  for (const Joined& joined : layers)
    outputs.push_back(kernels_of(x).linear_forward(x, joined.weights(value), joined.biases(value)));
  return outputs.size() == 1 ? outputs[0] : at::cat(outputs, 1);
}

const at::Tensor& gradient(const Parameter& parameter) { return parameter.grad; }

bool take_stale(const ParameterStore& store, const Joined& joined) {
  const bool stale = store.take_stale(joined.parts[0]->weight->index);
  for (size_t i = 1; i < joined.parts.size(); ++i)
    check_internal(store.take_stale(joined.parts[i]->weight->index) == stale, "joined layers with and without a gradient so far");
  return stale;
}

// From dy, the gradient of project(x), the gradients of the parameters.
void project_backward_parameters(const ParameterStore& store, const at::Tensor& dy, const at::Tensor& x,
                                 const std::vector<Joined>& layers) {
  const Kernels& kernels = kernels_of(x);
  int64_t column = 0;
  for (const Joined& joined : layers) {
    const at::Tensor own = dy.narrow(1, column, joined.rows());
    column += joined.rows();
    const Linear& first = *joined.parts[0];
    if (!first.bias->frozen) kernels.add_column_sums(own, joined.biases(gradient));
    if (!first.weight->frozen) kernels.linear_backward_weight(own, x, joined.weights(gradient), !take_stale(store, joined));
    for (const Linear* part : joined.parts) {
      announce(store, *part->bias);
      announce(store, *part->weight);
    }
  }
}

// dx (+)= the gradient of x.
void project_backward_input(const at::Tensor& dy, const std::vector<Joined>& layers, const at::Tensor& dx, bool accumulate) {
  const auto value = [&](const Parameter& parameter) { return value_in(parameter, dy.scalar_type()); };
  int64_t column = 0;
  for (const Joined& joined : layers) {
    kernels_of(dy).linear_backward_input(dy.narrow(1, column, joined.rows()), joined.weights(value), dx, accumulate);
    column += joined.rows();
    accumulate = true;
  }
}

struct Call {
  const ParameterStore* store;
  Layer layer;
  LayerPass pass;
};

// Value, key and query lie in this order (see declare_layer). With first_query_only the queries have fewer rows.
struct Projections {
  explicit Projections(const Call& call)
      : of_all(call.pass.segments.first_query_only ? join({&call.layer.value, &call.layer.key})
                                                   : join({&call.layer.value, &call.layer.key, &call.layer.query})),
        of_queries(call.pass.segments.first_query_only ? join({&call.layer.query}) : std::vector<Joined>()) {}
  std::vector<Joined> of_all, of_queries;
};
at::Tensor part(const at::Tensor& projected, int64_t index, int64_t size) { return projected.narrow(1, index * size, size); }

// Whether attention gives more rows than are computed behind it.
bool reads_some(const LayerPass& pass) { return pass.rows.places.defined() && !pass.segments.first_query_only; }

// What backward needs.
struct Activations {
  at::Tensor x, residual;         // residual: of x, the rows that are computed
  at::Tensor projected, queries;  // [T, 3 H] and nothing, or [T, 2 H] and [B, H]
  at::Tensor attended, attention_kept;
  at::Tensor read;  // of what attention gave, the rows that are computed
  NormState attention_norm;
  at::Tensor middle, inner, activated;
  NormState output_norm;
};

at::Tensor forward(const Call& call, const at::Tensor& x, Activations& a) {
  const auto& [store, layer, pass] = call;
  const Kernels& kernels = kernels_of(x);
  const Projections projections(call);
  const int64_t hidden = x.size(1);
  const auto linear = [&](const at::Tensor& input, const Linear& l) { return project(input, join({&l})); };
  // Not `pass`: clang before 16 takes no structured binding into a lambda.
  const auto norm = [&](const at::Tensor& input, const at::Tensor& residual, const Norm& n, const Dropout& dropout,
                        NormState& state) {
    return kernels.add_norm_forward(input, residual, n.gamma->value, n.beta->value, n.eps, dropout, call.pass.rows.ids, state);
  };
  a.x = x;
  a.projected = project(x, projections.of_all);
  a.residual = pass.rows.places.defined() ? x.index_select(0, pass.rows.places) : x;
  if (pass.segments.first_query_only) a.queries = project(a.residual, projections.of_queries);
  const at::Tensor q = a.queries.defined() ? a.queries : part(a.projected, 2, hidden);
  a.attended = kernels.attention_forward(q, part(a.projected, 1, hidden), part(a.projected, 0, hidden), pass.segments,
                                         pass.attention_dropout, a.attention_kept);
  a.read = reads_some(pass) ? a.attended.index_select(0, pass.rows.places) : a.attended;
  a.middle = norm(linear(a.read, layer.attention_output), a.residual, layer.attention_norm, pass.attention_output_dropout,
                  a.attention_norm);
  a.inner = linear(a.middle, layer.intermediate);
  a.activated = kernels.activation_forward(a.inner, layer.activation);
  return norm(linear(a.activated, layer.output), a.middle, layer.output_norm, pass.output_dropout, a.output_norm);
}

// Backward of LayerNorm(dropout(y) + residual) where y = x W^T + b: the gradients of x and the residual.
std::pair<at::Tensor, at::Tensor> backward_block(const Call& call, const at::Tensor& d_out, const at::Tensor& x,
                                                 const Linear& linear, const Norm& norm, const NormState& state,
                                                 const Dropout& dropout) {
  const Kernels& kernels = kernels_of(d_out);
  const auto [dy, d_residual] = kernels.add_norm_backward(d_out, state, norm.gamma->value, dropout, call.pass.rows.ids,
                                                          norm.gamma->grad, norm.beta->grad, linear.bias->grad);
  if (!linear.weight->frozen)
    kernels.linear_backward_weight(dy, x, linear.weight->grad, !call.store->take_stale(linear.weight->index));
  for (const Parameter* parameter : {norm.beta, norm.gamma, linear.bias, linear.weight}) announce(*call.store, *parameter);
  at::Tensor dx = at::empty_like(x);
  kernels.linear_backward_input(dy, value_in(*linear.weight, dy.scalar_type()), dx, false);
  return {dx, d_residual};
}

// The gradient of the layer's input, if it is wanted.
at::Tensor backward(const Call& call, const Activations& a, const at::Tensor& d_out, bool wants_input) {
  const auto& [store, layer, pass] = call;
  const Kernels& kernels = kernels_of(d_out);
  const auto [d_activated, d_middle] =
      backward_block(call, d_out, a.activated, layer.output, layer.output_norm, a.output_norm, pass.output_dropout);
  const at::Tensor d_inner = kernels.activation_backward(d_activated, a.inner, layer.activation, layer.intermediate.bias->grad);
  if (!layer.intermediate.weight->frozen)
    kernels.linear_backward_weight(d_inner, a.middle, layer.intermediate.weight->grad,
                                   !store->take_stale(layer.intermediate.weight->index));
  for (const Parameter* parameter : {layer.intermediate.bias, layer.intermediate.weight}) announce(*store, *parameter);
  kernels.linear_backward_input(d_inner, value_in(*layer.intermediate.weight, d_inner.scalar_type()), d_middle,
                                /*accumulate=*/true);

  const auto [d_read, d_residual] = backward_block(call, d_middle, a.read, layer.attention_output, layer.attention_norm,
                                                   a.attention_norm, pass.attention_output_dropout);
  // Sums over the rows of `places`, which are different ones, or two of a kind at most: in no order that matters.
  const at::Tensor d_attended = reads_some(pass) ? at::zeros_like(a.attended).index_add_(0, pass.rows.places, d_read) : d_read;
  const Projections projections(call);
  const int64_t hidden = a.x.size(1);
  const at::Tensor d_projected = at::empty_like(a.projected);
  const at::Tensor d_queries = a.queries.defined() ? at::empty_like(a.queries) : at::Tensor();
  const at::Tensor q = a.queries.defined() ? a.queries : part(a.projected, 2, hidden);
  const at::Tensor dq = a.queries.defined() ? d_queries : part(d_projected, 2, hidden);
  kernels.attention_backward(d_attended, q, part(a.projected, 1, hidden), part(a.projected, 0, hidden), a.attended,
                             a.attention_kept, pass.segments, pass.attention_dropout, dq, part(d_projected, 1, hidden),
                             part(d_projected, 0, hidden));
  project_backward_parameters(*store, d_projected, a.x, projections.of_all);
  if (d_queries.defined()) project_backward_parameters(*store, d_queries, a.residual, projections.of_queries);
  if (!wants_input) return {};
  if (!pass.rows.places.defined()) {
    project_backward_input(d_projected, projections.of_all, d_residual, /*accumulate=*/true);
    return d_residual;
  }
  if (d_queries.defined()) project_backward_input(d_queries, projections.of_queries, d_residual, /*accumulate=*/true);
  const at::Tensor dx = at::empty_like(a.x);
  project_backward_input(d_projected, projections.of_all, dx, /*accumulate=*/false);
  return dx.index_add_(0, pass.rows.places, d_residual);
}

struct LayerFunction : Function<LayerFunction> {
  struct State {
    Call call;
    Activations activations;  // with checkpointing: x alone
  };

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& /*link*/, const Call& call) {
    const at::AutoDispatchBelowADInplaceOrView no_graph;
    State state{call, {}};
    Activations forgotten;
    const at::Tensor input = x.detach();  // what is kept needs no graph
    const at::Tensor out = train::forward(call, input, call.pass.checkpointing ? forgotten : state.activations);
    state.activations.x = input;
    keep(ctx, std::move(state));
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const at::AutoDispatchBelowADInplaceOrView no_graph;
    auto& state = kept<State>(ctx);
    // Taken out of the node: it lives on until the whole pass is through, its tensors need not.
    Activations activations = std::exchange(state.activations, {});
    check_internal(activations.x.defined(), "a layer's backward pass runs once");
    if (state.call.pass.checkpointing) train::forward(state.call, at::Tensor(activations.x), activations);
    return {train::backward(state.call, activations, grads[0].contiguous(), ctx->needs_input_grad(0)), at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

void declare_layer(std::vector<ParameterSpec>& specs, const std::string& prefix, int64_t hidden_size, int64_t intermediate_size) {
  // Buckets are filled from behind, so that value, key and query follow each other there.
  const char* const projections[] = {"query", "key", "value"};
  for (const char* name : projections)
    specs.push_back({.name = prefix + "attention.self." + name + ".weight",
                     .shape = {hidden_size, hidden_size},
                     .by_products = true,
                     .beside_previous = name != projections[0]});
  for (const char* name : projections)
    specs.push_back({.name = prefix + "attention.self." + name + ".bias",
                     .shape = {hidden_size},
                     .decay = false,
                     .init = Init::kZeros,
                     .beside_previous = name != projections[0]});
  declare_linear(specs, prefix + "attention.output.dense", hidden_size, hidden_size);
  declare_norm(specs, prefix + "attention.output.LayerNorm", hidden_size);
  declare_linear(specs, prefix + "intermediate.dense", hidden_size, intermediate_size);
  declare_linear(specs, prefix + "output.dense", intermediate_size, hidden_size);
  declare_norm(specs, prefix + "output.LayerNorm", hidden_size);
}

Layer layer_at(ParameterStore& store, const std::string& prefix, double layer_norm_eps, Activation activation) {
  const auto linear = [&](const char* name) { return linear_at(store, prefix + name); };
  const auto norm = [&](const char* name) { return norm_at(store, prefix + name, layer_norm_eps); };
  return {.query = linear("attention.self.query"),
          .key = linear("attention.self.key"),
          .value = linear("attention.self.value"),
          .attention_output = linear("attention.output.dense"),
          .intermediate = linear("intermediate.dense"),
          .output = linear("output.dense"),
          .attention_norm = norm("attention.output.LayerNorm"),
          .output_norm = norm("output.LayerNorm"),
          .activation = activation};
}

at::Tensor encode(const ParameterStore& store, const at::Tensor& x, const Layer& layer, const LayerPass& pass) {
  const Call call{&store, layer, pass};
  if (at::GradMode::is_enabled()) {
    at::Tensor link = store.anchor().detach();
    for (const Linear* l : {&layer.query, &layer.key, &layer.value, &layer.attention_output, &layer.intermediate, &layer.output})
      if (!l->weight->frozen || !l->bias->frozen) link = store.anchor();
    for (const Norm* n : {&layer.attention_norm, &layer.output_norm})
      if (!n->gamma->frozen || !n->beta->frozen) link = store.anchor();
    return LayerFunction::apply(x, link, call);
  }
  Activations forgotten;
  return forward(call, x, forgotten);
}

}  // namespace berth::train
