// A text as one row, out of its tokens' hidden states.
#pragma once

#include "trainer/model/bert.h"
#include "trainer/model/text_pooling.h"

namespace berth::train {

// [B, H] in the compute type.
at::Tensor pooled_texts(const BertEncoder& encoder, const DeviceBatch& batch, const ForwardContext& context, TextPooling pooling);

}  // namespace berth::train
