// The differentiable operations of BERT on packed rows, bound to the parameters they use, on any device that has Kernels. Their
// backward adds weight gradients straight into Parameter::grad and announces them: nothing of a parameter's size is allocated.
#pragma once

#include "trainer/kernels/ops.h"
#include "trainer/model/parameters.h"

namespace berth::train {

struct Linear {
  const Parameter* weight;  // [out, in]
  const Parameter* bias;    // [out]
  // The weight is an embedding table too, whose own backward comes later in the pass and announces the gradient.
  bool tied = false;
};

struct Norm {
  const Parameter* gamma;
  const Parameter* beta;
  double eps;
};

// NAME.weight [out, in] and NAME.bias [out]; NAME.weight (gamma) and NAME.bias (beta) [size].
void declare_linear(std::vector<ParameterSpec>& specs, const std::string& name, int64_t in, int64_t out);
void declare_norm(std::vector<ParameterSpec>& specs, const std::string& name, int64_t size);
Linear linear_at(ParameterStore& store, const std::string& name);
Norm norm_at(ParameterStore& store, const std::string& name, double eps);

// x W^T + b, [N, in] -> [N, out].
at::Tensor linear(const ParameterStore& store, const at::Tensor& x, const Linear& layer);

// activation(x W^T + b).
at::Tensor linear_activated(const ParameterStore& store, const at::Tensor& x, const Linear& layer, Activation activation);

// LayerNorm(x), [N, H].
at::Tensor layer_norm(const ParameterStore& store, const at::Tensor& x, const Norm& norm);

struct Embeddings {
  const Parameter* words;  // [V, H]
  const Parameter* positions;
  const Parameter* types;  // null: no segments
  Norm norm;
  int64_t padding_id;  // its word row takes no gradient; -1: none
};
struct EmbeddingIds {
  TableRows words, positions, types;
};
// dropout(LayerNorm(words + positions + types)), [T, H] in `type`.
at::Tensor embed(const ParameterStore& store, const Embeddings& embeddings, const EmbeddingIds& ids, const Dropout& dropout,
                 const RowIds& rows, at::ScalarType type);

at::Tensor drop(const at::Tensor& x, const Dropout& dropout, const RowIds& rows);  // [N, H]

// For autograd Functions beside those here.

// The value for products in `type`: the parameter's compute copy. Throws Error(kInternal) if that is not of Kernels::weight_type(type).
at::Tensor value_in(const Parameter& parameter, at::ScalarType type);
// An input that requires a gradient iff one of the parameters (null: none) takes one: see ParameterStore::anchor().
at::Tensor link_to(const ParameterStore& store, std::initializer_list<const Parameter*> parameters);
void announce(const ParameterStore& store, const Parameter& parameter);

}  // namespace berth::train
