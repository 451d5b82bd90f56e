// The differentiable operations of BERT on packed rows, bound to the parameters they use. Their backward adds weight gradients
// straight into Parameter::grad and announces them: nothing of a parameter's size is allocated. On the CPU they run
// trainer/kernels, elsewhere the plain reference operations.
#pragma once

#include "trainer/kernels/reference.h"
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

// x W^T + b for each of `layers`, [N, in] -> [N, out] each.
std::vector<at::Tensor> linears(const ParameterStore& store, const at::Tensor& x, const std::vector<Linear>& layers);
at::Tensor linear(const ParameterStore& store, const at::Tensor& x, const Linear& layer);

// activation(x W^T + b).
at::Tensor linear_activated(const ParameterStore& store, const at::Tensor& x, const Linear& layer, Activation activation);

struct Embeddings {
  const Parameter* words;  // [V, H]
  const Parameter* positions;
  const Parameter* types;
  Norm norm;
  int64_t padding_id;  // its word row takes no gradient; -1: none
};
struct EmbeddingIds {  // [T] int32 each
  at::Tensor words, positions, types;
};
// dropout(LayerNorm(words + positions + types)), [T, H] in `type`.
at::Tensor embed(const ParameterStore& store, const Embeddings& embeddings, const EmbeddingIds& ids, const Dropout& dropout,
                 const RowIds& rows, at::ScalarType type);

at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Segments& segments,
                  const Dropout& dropout);
at::Tensor add_norm(const ParameterStore& store, const at::Tensor& x, const at::Tensor& residual, const Norm& norm,
                    const Dropout& dropout, const RowIds& rows);
at::Tensor drop(const at::Tensor& x, const Dropout& dropout, const RowIds& rows);

}  // namespace berth::train
