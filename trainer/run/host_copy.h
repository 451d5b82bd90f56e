// A copy of a model at rest, for a thread that writes it while training goes on.
#pragma once

#include "trainer/use/pretrained.h"

namespace berth::train {

class HostCopy {
 public:
  // Copies of fp32 tensors in host memory, pinned where they come from a GPU. The memory is kept from call to call, unless it is released:
  // what an earlier one returned is overwritten.
  NamedTensors of(const NamedTensors& tensors);
  // Gives memory back that is not pinned (which takes long to get), once nobody has the copies: on the CPU it is as much again as weights
  // and moments are.
  void release();

 private:
  at::Tensor memory_;  // flat
};

}  // namespace berth::train
