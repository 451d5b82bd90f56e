// LAMB on the CPU (You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", ICLR 2020, algorithm 2), with
// the moments of AdamW, bias correction, and phi(x) = x, so that the trust ratio is not bounded:
//   u = m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay * p
//   p -= lr * |p| / |u| * u
// with the 2-norms of each parameter, over all ranks and rows. The ratio is 1 where a norm is zero, and for biases and LayerNorm, which have
// no decay either (exclude_from_layer_adaptation in the paper's code). timm's Lamb with its defaults does the same if there is weight decay.
// Gradients are clipped before, by --max-grad-norm, as for AdamW.
#pragma once

#include <span>

#include "trainer/optim/adamw_kernels.h"
#include "trainer/optim/pieces.h"

namespace berth::train {

// One update: of each parameter with rates[parameter.index]; `factors` but for the decay are the same for all, `average` 1 - the decay of
// the averages. A collective call where parameters are cut.
void lamb_step(ParameterStore& store, const std::vector<Moments>& moments, const std::vector<uint8_t>& ever_touched,
               std::span<const double> rates, kernels::LambScalars factors, float average);

}  // namespace berth::train
