// What the user chooses of AdamW (adamw.h). Without libtorch.
#pragma once

#include "trainer/kernels/cpu/args.h"

namespace berth::train {

// fp16's loss scale, as torch.amp.GradScaler has it.
using kernels::LossScale;
inline constexpr LossScale kFirstLossScale{.scale = 65536, .updates = 0};
inline constexpr int kScaleGrowthInterval = 2000;

struct AdamWOptions {
  double learning_rate = 5e-5;  // peak
  double weight_decay = 0.0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double max_grad_norm = 1.0;  // 0: no clipping

  void validate() const;  // Error(kUsage)
};

}  // namespace berth::train
