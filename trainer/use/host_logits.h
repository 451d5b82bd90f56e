// A model's outputs, where evaluation and prediction look at them.
#pragma once

#include <vector>

#include "data/samples/batch.h"
#include "trainer/tasks/instance.h"

namespace berth::train {

// The head's outputs for a batch that is computed on `device`, on the CPU in fp32.
std::vector<at::Tensor> host_logits(const ModelInstance& model, const data::Batch& batch, at::Device device,
                                    at::ScalarType compute_type);

}  // namespace berth::train
