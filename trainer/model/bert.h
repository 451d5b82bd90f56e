// BERT's encoder over packed tokens ([T, H], no padding).
#pragma once

#include "data/philox.h"
#include "data/samples/batch.h"
#include "trainer/model/config.h"
#include "trainer/model/functions.h"
#include "trainer/model/parameters.h"
#include "trainer/torch.h"

namespace berth::train {

// A data::Batch as tensors on the device. T tokens, B samples.
struct DeviceBatch {
  at::Tensor sample_ids;      // [B] int64
  at::Tensor cu_seqlens;      // [B + 1] int32
  at::Tensor input_ids;       // [T] int32
  at::Tensor token_type_ids;  // [T] int32
  at::Tensor position_ids;    // [T] int32
  at::Tensor labels;          // as data::Batch::labels, int64
  at::Tensor float_labels;    // as data::Batch::float_labels
  at::Tensor token_samples;   // [T] int64, the sample id of each token
  at::Tensor first_tokens;    // [B] int64, the row of each sample's first token
  int64_t max_seqlen = 0;
  uint64_t stream = 0;  // of the first sample: keys generators of devices that draw their own dropout masks
  int64_t size() const { return sample_ids.size(0); }
};
// to_device throws Error(kInternal) if the batch's parts do not fit each other. (Token ids are checked by BertEncoder::forward.)
RowIds first_token_rows(const DeviceBatch& batch);
DeviceBatch to_device(const data::Batch& batch, at::Device device);

// What a forward pass depends on beside parameters and batch.
struct ForwardContext {
  bool training = false;  // dropout on
  uint64_t seed = 42;
  int64_t step = 0;  // global step: with the sample id it keys dropout
  // kFloat or kBFloat16: activations and matrix products; parameters stay fp32. bf16 needs ParameterStore::enable_compute_copy().
  at::ScalarType compute_type = at::kFloat;
  bool gradient_checkpointing = false;  // keep only each layer's input and compute the layer again in backward

  Dropout dropout(double p, Purpose purpose, uint32_t layer = 0) const;
};

// Declares bert.embeddings.*, bert.encoder.* and, if with_pooler, bert.pooler.*. `rows`: word embeddings get GradKind::kRows.
std::vector<ParameterSpec> encoder_parameters(const BertConfig& config, bool with_pooler, bool rows);

class BertEncoder {
 public:
  // `parameters` must outlive the encoder and every graph it makes.
  BertEncoder(const BertConfig& config, ParameterStore& parameters);

  // Last hidden state [T, H], in compute_type. If first_tokens_only, only the first token of each sample is needed: [B, H] (the
  // last layer then computes nothing else). Throws Error(kBadInput) if an id lies outside its table.
  at::Tensor forward(const DeviceBatch& batch, const ForwardContext& context, bool first_tokens_only) const;
  // tanh(W x + b) of the first tokens' hidden states: [B, H] -> [B, H].
  at::Tensor pool(const at::Tensor& first_tokens) const;

  const BertConfig& config() const { return config_; }
  ParameterStore& parameters() const { return parameters_; }

 private:
  struct Layer {
    Linear query, key, value, attention_output, intermediate, output;
    Norm attention_norm, output_norm;
  };
  at::Tensor forward_layer(const at::Tensor& x, int64_t index, const DeviceBatch& batch, const ForwardContext& context,
                           bool first_tokens_only) const;
  at::Tensor checkpoint_layer(const at::Tensor& x, int64_t index, const DeviceBatch& batch, const ForwardContext& context,
                              bool first_tokens_only) const;
  void check_ids(const DeviceBatch& batch) const;

  BertConfig config_;
  ParameterStore& parameters_;
  Embeddings embeddings_;
  std::vector<Layer> layers_;
};

}  // namespace berth::train
