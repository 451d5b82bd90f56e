// BERT's encoder over packed tokens ([T, H], no padding).
#pragma once

#include "data/philox.h"
#include "data/pipeline/batch.h"
#include "trainer/model/config.h"
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
  int64_t max_seqlen = 0;
  int64_t size() const { return sample_ids.size(0); }
};
DeviceBatch to_device(const data::Batch& batch, at::Device device);

// What a forward pass depends on beside parameters and batch.
struct ForwardContext {
  bool training = false;  // dropout on
  uint64_t seed = 42;
  int64_t step = 0;                          // global step: with the sample id it keys dropout
  at::ScalarType compute_type = at::kFloat;  // kFloat or kBFloat16 (activations and matrix products; parameters stay fp32)
  bool gradient_checkpointing = false;
};

// Declares bert.embeddings.*, bert.encoder.* and, if with_pooler, bert.pooler.*. `rows`: word embeddings get GradKind::kRows.
std::vector<ParameterSpec> encoder_parameters(const BertConfig& config, bool with_pooler, bool rows);

class BertEncoder {
 public:
  BertEncoder(const BertConfig& config, ParameterStore& parameters);

  // Last hidden state [T, H], in compute_type. If first_tokens_only, only the first token of each sample is needed: [B, H] (the
  // last layer then computes nothing else).
  at::Tensor forward(const DeviceBatch& batch, const ForwardContext& context, bool first_tokens_only) const;
  // tanh(W x + b) of the first tokens' hidden states: [B, H] -> [B, H].
  at::Tensor pool(const at::Tensor& first_tokens, const ForwardContext& context) const;

  const BertConfig& config() const { return config_; }

 private:
  BertConfig config_;
  ParameterStore& parameters_;
};

}  // namespace berth::train
