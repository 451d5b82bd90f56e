#include "trainer/model/pooling.h"

namespace berth::train {

at::Tensor pooled_texts(const BertEncoder& encoder, const DeviceBatch& batch, const ForwardContext& context,
                        TextPooling pooling) {
  const bool of_all_tokens = pooling == TextPooling::kMean || pooling == TextPooling::kMax;
  const at::Tensor hidden = encoder.forward(batch, context, of_all_tokens ? all_rows(batch) : first_token_rows(batch));
  if (of_all_tokens)
    return kernels_of(hidden).pool_tokens(hidden, batch.cu_seqlens,
                                          pooling == TextPooling::kMean ? Pooling::kMean : Pooling::kMax);
  return pooling == TextPooling::kPooler ? encoder.pool(hidden) : hidden;
}

}  // namespace berth::train
