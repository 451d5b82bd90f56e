// A model's outputs, where evaluation and prediction look at them.
#pragma once

#include <c10/core/Event.h>

#include <vector>

#include "data/samples/batch.h"
#include "trainer/tasks/instance.h"

namespace berth::train {

// The head's outputs for a batch that is computed on `device`. On a GPU they are on their way when this is made: begin with the next batch
// before get(), so that the GPU has something to do while the host looks at them.
class HostLogits {
 public:
  HostLogits(const ModelInstance& model, const data::Batch& batch, at::Device device, at::ScalarType compute_type);
  // On the CPU in fp32; waits for them.
  const std::vector<at::Tensor>& get() const;

 private:
  std::vector<at::Tensor> logits_;
  c10::Event there_;  // when they have been copied; on the CPU nobody waits for it
};

}  // namespace berth::train
