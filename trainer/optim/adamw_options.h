// What the user chooses of AdamW (adamw.h). Without libtorch.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "trainer/kernels/cpu/adamw_args.h"

namespace berth::train {

// fp16's loss scale, as torch.amp.GradScaler has it.
using kernels::LossScale;
inline constexpr LossScale kFirstLossScale{.scale = 65536, .updates = 0};
inline constexpr int kScaleGrowthInterval = 2000;

enum class Optim { kAdamW, kLamb };
// "adamw", for which transformers' "adamw_torch" and "adamw_torch_fused" stand, too, and "lamb". Error(kUsage).
Optim parse_optim(const std::string& name);
std::string_view optim_name(Optim optim);

struct AdamWOptions {
  Optim optim = Optim::kAdamW;
  double learning_rate = 5e-5;                    // peak
  double layerwise_lr_decay = 1.0;                // rate_groups.h; 1: all layers learn at the same rate
  std::optional<double> head_learning_rate = {};  // peak; unset: learning_rate
  double weight_decay = 0.0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double max_grad_norm = 1.0;  // 0: no clipping
  double ema_decay = 0.0;      // of the averages of the weights, a step; 0: none are kept

  void validate() const;  // Error(kUsage)
};

}  // namespace berth::train
