// What the user chooses of AdamW (adamw.h). Without libtorch.
#pragma once

namespace berth::train {

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
