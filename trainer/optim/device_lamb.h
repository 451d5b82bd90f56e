// LAMB's update (lamb.h) on a device with OptimizerKernels, enqueued whole.
#pragma once

#include <vector>

#include "trainer/kernels/optimizer.h"
#include "trainer/model/parameters.h"

namespace berth::train {

class DeviceLamb {
 public:
  // Both must outlive it.
  DeviceLamb(ParameterStore& parameters, const OptimizerKernels& kernels);

  // `parts`: this rank's of each bucket; without values for frozen ones. Nothing is updated unless `plan` says so. Collective where
  // parameters are cut.
  void update(const std::vector<OptimizerKernels::Bucket>& parts, const kernels::AdamWNumbers& numbers, const at::Tensor& plan);

 private:
  ParameterStore& parameters_;
  const OptimizerKernels& kernels_;
  std::vector<at::Tensor> segments_;  // [n, 3] int32, one a bucket
  at::Tensor partials_;               // [all segments, 2] fp64
  at::Tensor ranges_;  // [parameters + 1] int32: which segments are a parameter's, in the order of the buckets' slots
  at::Tensor sums_;    // [ranks, parameters, 2] fp64
};

}  // namespace berth::train
