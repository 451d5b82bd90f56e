// The hidden layers of a custom head.
#pragma once

#include "trainer/model/bert.h"
#include "trainer/model/custom_head.h"

namespace berth::train {

class HeadLayers {
 public:
  HeadLayers(const BertConfig& config, ParameterStore& parameters);
  // "head.0.weight", "head.0.bias", …; of the standard head none.
  static void declare(std::vector<ParameterSpec>& specs, const BertConfig& config);
  // [N, hidden size] -> [N, CustomHead::width]. `rows`: what keys their dropout.
  at::Tensor forward(at::Tensor x, const ForwardContext& context, const RowIds& rows) const;

 private:
  const ParameterStore& store_;
  CustomHead head_;
  std::vector<Linear> layers_;
};

}  // namespace berth::train
