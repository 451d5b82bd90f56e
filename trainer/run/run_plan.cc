#include "trainer/run/run_plan.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "data/words.h"

namespace berth::train {
namespace {

constexpr int64_t kDefaultSteps = 500;  // transformers' logging_steps

// A number of steps, or below 1 a share of the run, as transformers reads logging_steps, eval_steps and save_steps.
int64_t interval(double steps, int64_t total_steps) {
  if (steps < 1) return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(steps * static_cast<double>(total_steps))));
  return static_cast<int64_t>(steps);
}

}  // namespace

RunPlan RunPlan::make(const TrainOptions& options, int64_t split_size, int ranks, const Horizon* stored, int64_t step) {
  RunPlan plan;
  Horizon& h = plan.horizon;
  const BatchOptions& batch = options.batch;
  if (stored != nullptr && step > 0) {
    h = *stored;
    if (batch.global_batch_size > 0 && batch.global_batch_size != h.global_batch)
      h = h.with_global_batch(batch.global_batch_size, step);
  } else {
    h.global_batch = batch.global_batch_size > 0 ? batch.global_batch_size
                     : stored != nullptr         ? stored->global_batch
                                                 : batch.per_device_train_batch_size * ranks * batch.gradient_accumulation_steps;
  }
  check_usage(ranks <= h.global_batch, "there are ", ranks, " ranks, but the global batch has only ",
              counted(h.global_batch, "sample"), ": start 1 to ", counted(h.global_batch, "rank"),
              ", or raise --global-batch-size");
  h.num_samples = batch.max_train_samples < 0 ? split_size : std::min(split_size, batch.max_train_samples);
  h.drop_last = batch.drop_last;
  h.seed = options.seed;
  h.data_seed = options.data_seed.value_or(options.seed);
  h.schedule = options.lr_scheduler_type;
  h.schedule_kwargs = options.lr_scheduler_kwargs;
  h.total_steps = options.max_steps > 0 ? options.max_steps : h.sampler().steps_until(options.num_train_epochs);
  check_usage(h.total_steps <= kMostSteps, "--num-train-epochs ", options.num_train_epochs, " are more than ", kMostSteps,
              " steps");
  if (h.start.step == 0) {
    h.schedule_steps = h.total_steps;
    h.warmup_steps = resolve_warmup(options.warmup_steps, options.warmup_ratio, h.total_steps);
  }
  // As often as Trainer does, but at least at every fiftieth of a run.
  const double logging_steps = options.logging.logging_steps;
  plan.logging_steps =
      logging_steps > 0 ? interval(logging_steps, h.total_steps) : std::clamp<int64_t>(h.total_steps / 50, 1, kDefaultSteps);
  const EvalSaveOptions& es = options.eval_save;
  if (es.eval_strategy == Strategy::kSteps)
    plan.eval_steps = es.eval_steps > 0   ? interval(es.eval_steps, h.total_steps)
                      : logging_steps > 0 ? plan.logging_steps
                                          : kDefaultSteps;
  if (es.save_strategy == Strategy::kSteps) plan.save_steps = interval(es.save_steps, h.total_steps);
  return plan;
}

bool RunPlan::log_due(int64_t step, const LoggingOptions& options) const {
  return step % logging_steps == 0 || (step == 1 && options.logging_first_step);
}

bool RunPlan::eval_due(int64_t step, const EvalSaveOptions& options) const {
  if (options.eval_strategy == Strategy::kSteps)
    return (step % eval_steps == 0 || step == horizon.total_steps) && static_cast<double>(step) >= options.eval_delay;
  if (options.eval_strategy != Strategy::kEpoch) return false;
  return epoch_ends(step) && epoch_at(step) >= options.eval_delay;
}

bool RunPlan::save_due(int64_t step, const EvalSaveOptions& options) const {
  if (options.save_strategy == Strategy::kSteps) return step % save_steps == 0 || step == horizon.total_steps;
  return options.save_strategy == Strategy::kEpoch && epoch_ends(step);
}

bool RunPlan::epoch_ends(int64_t step) const {
  return step == horizon.total_steps || horizon.sampler().position(step).sample == 0;
}

}  // namespace berth::train
