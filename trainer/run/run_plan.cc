#include "trainer/run/run_plan.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "data/words.h"

namespace berth::train {
namespace {

// A number of steps, or below 1 a share of the run, as transformers reads logging_steps, eval_steps and save_steps.
int64_t interval(double steps, int64_t total_steps) {
  if (steps < 1) return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(steps * static_cast<double>(total_steps))));
  return static_cast<int64_t>(steps);
}

}  // namespace

RunPlan RunPlan::make(const TrainOptions& options, int64_t split_size, int ranks, int64_t stored_global_batch) {
  RunPlan plan;
  Horizon& h = plan.horizon;
  const BatchOptions& batch = options.batch;
  h.num_samples = batch.max_train_samples < 0 ? split_size : std::min(split_size, batch.max_train_samples);
  h.global_batch = batch.global_batch_size > 0 ? batch.global_batch_size
                   : stored_global_batch > 0   ? stored_global_batch
                                               : batch.per_device_train_batch_size * ranks * batch.gradient_accumulation_steps;
  check_usage(ranks <= h.global_batch, "there are ", ranks, " ranks, but the global batch has only ",
              counted(h.global_batch, "sample"), ": start fewer ranks or raise --global-batch-size");
  h.drop_last = batch.drop_last;
  h.seed = options.seed;
  h.data_seed = options.data_seed.value_or(options.seed);
  plan.steps_per_epoch = data::Sampler(h.sampler()).steps_per_epoch();
  h.total_steps = options.max_steps > 0
                      ? options.max_steps
                      : static_cast<int64_t>(std::ceil(options.num_train_epochs * static_cast<double>(plan.steps_per_epoch)));
  h.warmup_steps = resolve_warmup(options.warmup_steps, options.warmup_ratio, h.total_steps);
  h.schedule = options.lr_scheduler_type;
  plan.logging_steps = interval(options.logging.logging_steps, h.total_steps);
  const EvalSaveOptions& es = options.eval_save;
  if (es.eval_strategy == Strategy::kSteps)
    plan.eval_steps = es.eval_steps > 0 ? interval(es.eval_steps, h.total_steps) : plan.logging_steps;
  if (es.save_strategy == Strategy::kSteps) plan.save_steps = interval(es.save_steps, h.total_steps);
  return plan;
}

bool RunPlan::log_due(int64_t step, const LoggingOptions& options) const {
  return step % logging_steps == 0 || (step == 1 && options.logging_first_step);
}

bool RunPlan::eval_due(int64_t step, const EvalSaveOptions& options) const {
  if (options.eval_strategy == Strategy::kSteps) return step % eval_steps == 0 && static_cast<double>(step) >= options.eval_delay;
  if (options.eval_strategy != Strategy::kEpoch) return false;
  const bool epoch_ends = step % steps_per_epoch == 0 || step == horizon.total_steps;
  return epoch_ends && epoch_at(step) >= options.eval_delay;
}

bool RunPlan::save_due(int64_t step, const EvalSaveOptions& options) const {
  if (options.save_strategy == Strategy::kSteps) return step % save_steps == 0 || step == horizon.total_steps;
  return options.save_strategy == Strategy::kEpoch && (step % steps_per_epoch == 0 || step == horizon.total_steps);
}

}  // namespace berth::train
