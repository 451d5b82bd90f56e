#include "trainer/model/functions.h"

#include "data/check.h"
#include "trainer/kernels/gemm.h"

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

// A node is only made if one of its inputs requires a gradient: where x does not, a parameter that does makes up for it.
at::Tensor first_trained(std::initializer_list<const Parameter*> parameters) {
  for (const Parameter* parameter : parameters)
    if (!parameter->frozen) return parameter->value;
  return (*parameters.begin())->value;
}

struct LinearFunction : Function<LinearFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& link, const ParameterStore* store,
                               const std::vector<Linear>& layers) {
    (void)link;
    ctx->set_materialize_grads(false);
    ctx->save_for_backward({x});
    keep(ctx, "store", store);
    std::vector<int64_t> indices;
    variable_list outputs;
    for (const Linear& layer : layers) {
      outputs.push_back(linear_forward(x, weight_of(*layer.weight, x.scalar_type()), layer.bias->value.detach()));
      indices.push_back(layer.weight->index);
      indices.push_back(layer.bias->index);
    }
    ctx->saved_data["parameters"] = indices;
    return outputs;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const at::Tensor x = ctx->get_saved_variables()[0];
    const ParameterStore& store = *kept<ParameterStore>(ctx, "store");
    const std::vector<int64_t> indices = ctx->saved_data["parameters"].toIntVector();
    at::Tensor dx;
    for (size_t i = grads.size(); i-- > 0;) {
      if (!grads[i].defined()) continue;
      const at::Tensor dy = grads[i].contiguous();
      const Parameter& weight = store.parameters()[indices[2 * i]];
      const Parameter& bias = store.parameters()[indices[2 * i + 1]];
      if (!bias.frozen) {
        linear_backward_bias(dy, bias.grad);
        store.announce_grad(bias.index);
      }
      if (!weight.frozen) {
        linear_backward_weight(dy, x, weight.grad);
        store.announce_grad(weight.index);
      }
      if (!ctx->needs_input_grad(0)) continue;
      const bool accumulate = dx.defined();
      if (!accumulate) dx = at::empty_like(x);
      linear_backward_input(dy, weight_of(weight, x.scalar_type()), dx, accumulate);
    }
    return {dx, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct EmbeddingSum : Function<EmbeddingSum> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& link, const ParameterStore* store,
                            const Embeddings* embeddings, const EmbeddingIds& ids) {
    (void)link;
    ctx->save_for_backward({ids.words, ids.positions, ids.types});
    keep(ctx, "store", store);
    ctx->saved_data["parameters"] =
        std::vector<int64_t>{embeddings->words->index, embeddings->positions->index, embeddings->types->index};
    ctx->saved_data["padding"] = embeddings->padding_id;
    return embeddings->words->value.index_select(0, ids.words) + embeddings->positions->value.index_select(0, ids.positions) +
           embeddings->types->value.index_select(0, ids.types);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const ParameterStore& store = *kept<ParameterStore>(ctx, "store");
    const std::vector<int64_t> indices = ctx->saved_data["parameters"].toIntVector();
    const variable_list ids = ctx->get_saved_variables();
    for (int i = 2; i >= 0; --i) {
      const Parameter& table = store.parameters()[indices[i]];
      if (table.frozen) continue;
      at::Tensor d = grads[0];
      if (i == 0) d = d.masked_fill(ids[0].eq(ctx->saved_data["padding"].toInt()).unsqueeze(1), 0);
      table.grad.index_add_(0, ids[i], d);
      store.announce_grad(table.index);
    }
    return {at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

std::vector<at::Tensor> linears(const ParameterStore& store, const at::Tensor& x, const std::vector<Linear>& layers) {
  at::Tensor link = layers[0].weight->value;
  for (const Linear& layer : layers)
    if (!link.requires_grad()) link = first_trained({layer.weight, layer.bias});
  return LinearFunction::apply(x, link, &store, layers);
}

at::Tensor linear(const ParameterStore& store, const at::Tensor& x, const Linear& layer) { return linears(store, x, {layer})[0]; }

at::Tensor embed(const ParameterStore& store, const Embeddings& embeddings, const EmbeddingIds& ids, const Dropout& dropout,
                 const RowIds& rows, at::ScalarType type) {
  const at::Tensor link = first_trained({embeddings.words, embeddings.positions, embeddings.types});
  const at::Tensor sum = EmbeddingSum::apply(link, &store, &embeddings, ids);
  const Norm& norm = embeddings.norm;
  return norm_reference(sum, norm.gamma->value, norm.beta->value, norm.eps, dropout, rows).to(type);
}

at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Segments& segments,
                  const Dropout& dropout) {
  return attention_reference(q, k, v, segments, dropout);
}

at::Tensor add_norm(const ParameterStore&, const at::Tensor& x, const at::Tensor& residual, const Norm& norm,
                    const Dropout& dropout, const RowIds& rows) {
  return add_norm_reference(x, residual, norm.gamma->value, norm.beta->value, norm.eps, dropout, rows);
}

at::Tensor drop(const at::Tensor& x, const Dropout& dropout, const RowIds& rows) { return dropout_reference(x, dropout, rows); }

at::Tensor activate(const at::Tensor& x, Activation activation) { return activation_reference(x, activation); }

}  // namespace berth::train
