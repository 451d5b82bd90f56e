// Which learning rate each parameter has, as groups of parameters: --layerwise-lr-decay and --head-learning-rate.
//
// With L layers and a decay D, layer i (from 0) learns at D^(L - i) times the learning rate, the embeddings at D^(L + 1) times, and what
// comes after the layers (pooler, head) at the full one: the groups of BEiT (Bao et al., "BEiT: BERT Pre-Training of Image Transformers",
// ICLR 2022) and of timm's layer_decay. The head, which may have a rate of its own, is what is not in the base model of transformers, so
// that the pooler does not belong to it.
#pragma once

#include <cstdint>
#include <vector>

#include "trainer/model/parameters.h"
#include "trainer/optim/adamw_options.h"

namespace berth::train {

struct RateGroups {
  std::vector<double> peaks;  // the peak learning rate of each group; first the run's own, whether any parameter has it or not
  std::vector<uint8_t> of_parameter;  // by Parameter::index; 0 for those that are frozen
};

// Throws Error(kUsage) if there are more groups than the optimizer has room for (kernels::kMostRates).
RateGroups rate_groups(const std::vector<Parameter>& parameters, const AdamWOptions& options);

}  // namespace berth::train
