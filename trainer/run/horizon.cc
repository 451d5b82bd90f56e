#include "trainer/run/horizon.h"

#include "data/check.h"

namespace berth::train {

data::SamplerOptions Horizon::sampler() const {
  return {.num_samples = num_samples, .global_batch = global_batch, .seed = data_seed, .shuffle = true, .drop_last = drop_last};
}

void Horizon::check_resumable(const Horizon& now, bool allow_change) const {
  const auto same = [](const char* what, auto wanted, auto stored, const char* advice) {
    check_usage(wanted == stored, "the checkpoint was made with ", what, " ", stored, ", this run has ", wanted, ": ", advice);
  };
  const char* order =
      "resuming would repeat or skip samples; use the same data set and options, or start afresh in another --output-dir";
  same("a training split of", now.num_samples, num_samples, order);
  same("--seed", now.seed, seed, order);
  same("--data-seed", now.data_seed, data_seed, order);
  same("--dataloader-drop-last", now.drop_last, drop_last, order);
  same("a global batch of", now.global_batch, global_batch, order);
  if (allow_change) return;
  const char* jump = "the learning rate would jump; give the same options, or --allow-horizon-change if that is what you want";
  same("a horizon of steps", now.total_steps, total_steps, jump);
  same("warm-up steps", now.warmup_steps, warmup_steps, jump);
  same("--lr-scheduler-type", schedule_name(now.schedule), schedule_name(schedule), jump);
}

}  // namespace berth::train
