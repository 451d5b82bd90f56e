// The encoder of BERT and its relatives over packed tokens ([T, H], no padding).
#pragma once

#include "data/philox.h"
#include "trainer/model/config.h"
#include "trainer/model/device_batch.h"
#include "trainer/model/layer.h"
#include "trainer/model/parameters.h"
#include "trainer/torch.h"

namespace berth::train {

// What a forward pass depends on beside parameters and batch.
struct ForwardContext {
  bool training = false;  // dropout on
  uint64_t seed = 42;
  int64_t step = 0;  // global step: with the sequence id it keys dropout
  // kFloat, kBFloat16 or, where the device's kernels have it, kHalf: activations and matrix products; parameters stay fp32. All but kFloat
  // need ParameterStore::enable_compute_copy().
  at::ScalarType compute_type = at::kFloat;
  bool gradient_checkpointing = false;  // keep only each layer's input and compute the layer again in backward

  Dropout dropout(double p, Purpose purpose, uint32_t layer = 0) const;
};

// Declares bert.embeddings.*, bert.encoder.* and, if with_pooler, bert.pooler.*, by these names in every family. `rows`: word embeddings
// get GradKind::kRows.
std::vector<ParameterSpec> encoder_parameters(const BertConfig& config, bool with_pooler, bool rows);

class BertEncoder {
 public:
  // `parameters` must outlive the encoder and every graph it makes.
  BertEncoder(const BertConfig& config, ParameterStore& parameters);

  // Last hidden state of the rows that are read, [N, H], in compute_type: the last layer computes what they need alone. Throws
  // Error(kBadInput) if an id lies outside its table.
  at::Tensor forward(const DeviceBatch& batch, const ForwardContext& context, const TokenRows& read) const;
  // f(W x + b) of the first tokens' hidden states, f being Family::pooler_act: [S, H] -> [S, H].
  at::Tensor pool(const at::Tensor& first_tokens) const;

  const BertConfig& config() const { return config_; }
  ParameterStore& parameters() const { return parameters_; }

 private:
  void check_ids(const DeviceBatch& batch) const;

  BertConfig config_;
  ParameterStore& parameters_;
  Embeddings embeddings_;
  std::optional<Linear> projection_;  // of embeddings that are not as wide as the layers
  std::vector<Layer> layers_;
};

}  // namespace berth::train
