// A copy of a model at rest, for a thread that writes it while training goes on.
#pragma once

#include "trainer/use/pretrained.h"

namespace berth::train {

class HostCopy {
 public:
  // Begins a copy of fp32 tensors in host memory. From a GPU, for which the memory is pinned, it is made at once; of tensors that lie
  // in host memory nothing is read before finish(). The memory is kept from copy to copy, unless it is released: what an earlier one
  // returned is overwritten.
  void begin(const NamedTensors& tensors);
  // The copies. On any thread, alone.
  NamedTensors finish();
  // Gives memory back that is not pinned (which takes long to get), once nobody has the copies: on the CPU it is as much again as weights
  // and moments are.
  void release();

 private:
  at::Tensor memory_;  // flat
  NamedTensors copies_;
  std::vector<at::Tensor> left_;  // what the copies, in their order, have yet to be made of; or empty
};

}  // namespace berth::train
