// What a model makes of a batch, where evaluation and prediction look at it.
#pragma once

#include <c10/core/Event.h>

#include <functional>
#include <vector>

#include "data/samples/batch.h"
#include "trainer/tasks/instance.h"

namespace berth::train {

// The outputs of `forward`, a head's in most cases, for a batch that is computed on `device`. On a GPU they are on their way when this is made: begin with the next batch
// before get(), so that the GPU has something to do while the host looks at them.
class HostLogits {
 public:
  using Forward = std::function<std::vector<at::Tensor>(const DeviceBatch&, const ForwardContext&)>;
  HostLogits(const Forward& forward, const data::Batch& batch, at::Device device, at::ScalarType compute_type);
  HostLogits(const ModelInstance& model, const data::Batch& batch, at::Device device, at::ScalarType compute_type);
  // On the CPU in fp32; waits for them.
  const std::vector<at::Tensor>& get() const;

 private:
  std::vector<at::Tensor> logits_;
  c10::Event there_;  // when they have been copied; on the CPU nobody waits for it
};

}  // namespace berth::train
