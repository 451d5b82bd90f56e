// One layer of the encoder, attention and feed-forward, as one differentiable operation: its backward pass adds the gradients of the
// layer's parameters in place and announces them, and what it keeps is what it needs, or with gradient checkpointing the layer's
// input alone.
#pragma once

#include "trainer/model/device_batch.h"
#include "trainer/model/functions.h"

namespace berth::train {

struct Layer {
  // Query, key and value, their slots side by side: one matrix product for those of them that have the same rows.
  Linear query, key, value;
  Linear attention_output, intermediate, output;
  Norm attention_norm, output_norm;
  Activation activation = Activation::kGelu;
};
// In the order of forward. `prefix`: "bert.encoder.layer.N.".
void declare_layer(std::vector<ParameterSpec>& specs, const std::string& prefix, int64_t hidden_size, int64_t intermediate_size);
Layer layer_at(ParameterStore& store, const std::string& prefix, double layer_norm_eps, Activation activation);

// What a layer's pass depends on beside its input and parameters.
struct LayerPass {
  Segments segments;
  TokenRows rows;  // of the output; with segments.first_query_only the first tokens
  Dropout attention_dropout, attention_output_dropout, output_dropout;
  bool checkpointing = false;
};

// x [T, H] -> [N, H], of the pass' rows. Of other rows are computed: keys and values, and unless these are first tokens what attention gives.
at::Tensor encode(const ParameterStore& store, const at::Tensor& x, const Layer& layer, const LayerPass& pass);

}  // namespace berth::train
