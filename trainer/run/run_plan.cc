#include "trainer/run/run_plan.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "data/counted.h"

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
  const BatchOptions& batch = options.batch;
  plan.num_samples = batch.max_train_samples < 0 ? split_size : std::min(split_size, batch.max_train_samples);
  plan.global_batch = batch.global_batch_size > 0 ? batch.global_batch_size
                      : stored_global_batch > 0   ? stored_global_batch
                                                  : batch.per_device_train_batch_size * ranks * batch.gradient_accumulation_steps;
  check_usage(ranks <= plan.global_batch, "there are ", ranks, " ranks, but the global batch has only ",
              counted(plan.global_batch, "sample"), ": start fewer ranks or raise --global-batch-size");
  plan.sampler = {.num_samples = plan.num_samples,
                  .global_batch = plan.global_batch,
                  .seed = options.data_seed.value_or(options.seed),
                  .shuffle = true,
                  .drop_last = batch.drop_last};
  plan.steps_per_epoch = data::Sampler(plan.sampler).steps_per_epoch();
  plan.total_steps = options.max_steps > 0
                         ? options.max_steps
                         : static_cast<int64_t>(std::ceil(options.num_train_epochs * static_cast<double>(plan.steps_per_epoch)));
  plan.warmup_steps = resolve_warmup(options.warmup_steps, options.warmup_ratio, plan.total_steps);
  plan.logging_steps = interval(options.logging.logging_steps, plan.total_steps);
  const EvalSaveOptions& es = options.eval_save;
  if (es.eval_strategy == Strategy::kSteps)
    plan.eval_steps = es.eval_steps > 0 ? interval(es.eval_steps, plan.total_steps) : plan.logging_steps;
  if (es.save_strategy == Strategy::kSteps) plan.save_steps = interval(es.save_steps, plan.total_steps);
  return plan;
}

bool RunPlan::log_due(int64_t step, const LoggingOptions& options) const {
  return step % logging_steps == 0 || (step == 1 && options.logging_first_step);
}

bool RunPlan::eval_due(int64_t step, const EvalSaveOptions& options) const {
  if (options.eval_strategy == Strategy::kSteps) return step % eval_steps == 0 && static_cast<double>(step) >= options.eval_delay;
  if (options.eval_strategy != Strategy::kEpoch) return false;
  const bool epoch_ends = step % steps_per_epoch == 0 || step == total_steps;
  return epoch_ends && epoch_at(step) >= options.eval_delay;
}

bool RunPlan::save_due(int64_t step, const EvalSaveOptions& options) const {
  if (options.save_strategy == Strategy::kSteps) return step % save_steps == 0 || step == total_steps;
  return options.save_strategy == Strategy::kEpoch && (step % steps_per_epoch == 0 || step == total_steps);
}

}  // namespace berth::train
