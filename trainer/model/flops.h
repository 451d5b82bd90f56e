// Model FLOPs: the floating-point operations that a training step's mathematics asks for, whatever is computed twice to save memory.
#pragma once

#include <cstdint>

#include "trainer/model/config.h"
#include "trainer/model/parameters.h"

namespace berth::train {

// Of the encoder, forward and backward, a multiplication and an addition counted as two: 6 x (elements of the layers' matrices) a
// token, and 12 x layers x hidden size a pair of tokens that attend to each other (scores and weighted sums, 4 forward and 8 backward).
// So in Kaplan et al., "Scaling Laws for Neural Language Models" (2020), table 1, and Chowdhery et al., "PaLM" (2022), appendix B, but
// counted for each sample's own length. What is frozen takes no gradient, and nothing goes back below the first parameter that is not.
// Heads (custom ones too) and embeddings are left out: under 1 % of BERT-base's, some 4 % in masked language modelling. What berth does not compute
// of the last layer, where a head reads first or masked tokens only, is counted.
struct ModelFlops {
  double per_token = 0;
  double per_pair = 0;

  // `pairs`: the sum of the samples' squared lengths.
  double of(int64_t tokens, int64_t pairs) const {
    return per_token * static_cast<double>(tokens) + per_pair * static_cast<double>(pairs);
  }
};

ModelFlops model_flops(const ParameterStore& parameters, const BertConfig& config);

}  // namespace berth::train
