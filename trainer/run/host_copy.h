// A copy of a model at rest, for a thread that writes it while training goes on.
#pragma once

#include "trainer/use/pretrained.h"

namespace berth::train {

class HostCopy {
 public:
  // Copies of fp32 tensors in host memory, pinned where they come from a GPU. The memory is kept from call to call: what an earlier one
  // returned is overwritten.
  NamedTensors of(const NamedTensors& tensors);

 private:
  at::Tensor memory_;  // flat
};

}  // namespace berth::train
