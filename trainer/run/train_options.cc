#include "trainer/run/train_options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "data/check.h"

namespace berth::train {
namespace {

constexpr std::array<std::pair<Strategy, std::string_view>, 4> kStrategies{
    {{Strategy::kNo, "no"}, {Strategy::kSteps, "steps"}, {Strategy::kEpoch, "epoch"}, {Strategy::kBest, "best"}}};

void check_probability(const std::optional<double>& value, std::string_view flag) {
  check_usage(!value || (*value >= 0 && *value < 1), flag, " must lie in [0, 1), got ", value.value_or(0));
}

}  // namespace

Strategy parse_strategy(const std::string& name) {
  for (const auto& [strategy, known] : kStrategies)
    if (name == known || (strategy == Strategy::kEpoch && name == "epochs")) return strategy;
  fail(ExitCode::kUsage, "strategy ", name, " is not known; use no, steps, epoch, or (for saving) best");
}

Zero parse_zero(const std::string& name) {
  if (name == "0") return Zero::kOff;
  if (name == "1") return Zero::kOn;
  check_usage(name == "auto", "--zero ", name, ": berth knows 0, 1 and auto");
  return Zero::kAuto;
}

TraceSteps parse_trace_steps(const std::string& text) {
  const auto number = [](std::string_view digits) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && end == digits.data() + digits.size() ? value : 0;
  };
  const std::string_view all = text;
  const size_t dash = std::min(all.find('-'), all.size());
  const TraceSteps steps{number(all.substr(0, dash)), number(all.substr(dash == all.size() ? 0 : dash + 1))};
  check_usage(steps.first > 0 && steps.last >= steps.first && steps.last - steps.first < kMostTraced, "--trace-steps ", text,
              ": expected a step, or the first and the last of at most ", kMostTraced, ", as in 10-12");
  return steps;
}

ReportTo parse_report_to(const std::vector<std::string>& names) {
  ReportTo to{.jsonl = false, .tensorboard = false};
  for (const std::string& name : names) {
    const bool all = name == "all" || name == "both";
    check_usage(all || name == "jsonl" || name == "tensorboard" || (name == "none" && names.size() == 1), "--report-to ", name,
                ": berth writes jsonl and tensorboard; give one of them, both, or none");
    to.jsonl |= all || name == "jsonl";
    to.tensorboard |= all || name == "tensorboard";
  }
  return to;
}

Resume parse_resume(const std::string& choice) {
  if (choice == "auto" || choice == "true" || choice == "True") return {};
  if (choice == "none" || choice == "false" || choice == "False") return {.from = Resume::From::kNothing};
  return {.from = Resume::From::kFolder, .folder = choice};
}

void BatchOptions::validate() const {
  check_range("--per-device-train-batch-size", per_device_train_batch_size, 1, kMostBatch);
  check_range("--per-device-eval-batch-size", per_device_eval_batch_size, 1, kMostBatch);
  check_range("--gradient-accumulation-steps", gradient_accumulation_steps, 1, kMostBatch);
  check_usage(global_batch_size >= 0 && global_batch_size <= kMostSteps,
              "--global-batch-size must be positive, or 0 for per device x ranks x accumulation; got ", global_batch_size);
  for (const auto& [name, samples] : {std::pair("train", max_train_samples), std::pair("eval", max_eval_samples)})
    check_usage(samples >= -1 && samples != 0, "--max-", name, "-samples must be positive, or -1 for all; got ", samples);
}

void EvalSaveOptions::validate() const {
  check_range("--eval-steps", eval_steps, 0, kMostSteps);
  check_range("--eval-delay", eval_delay, 0, kMostSteps);
  check_usage(save_steps > 0, "--save-steps must be positive, got ", save_steps);
  check_range("--save-steps", save_steps, 0, kMostSteps);
  check_range("--save-seconds", save_seconds, 0, 1e9);
  check_range("--save-total-limit", save_total_limit, 0, kMostSteps);
  check_range("--early-stopping-patience", early_stopping_patience, 0, kMostSteps);
  check_usage(std::isfinite(early_stopping_threshold), "--early-stopping-threshold must be a number, got ",
              early_stopping_threshold);
  check_usage(eval_strategy != Strategy::kBest, "--eval-strategy best does not exist; use no, steps or epoch");
  const bool evaluates = eval_strategy != Strategy::kNo;
  check_usage(evaluates || !load_best_model_at_end, "--load-best-model-at-end needs evaluations: add --eval-strategy epoch");
  check_usage(evaluates || early_stopping_patience == 0,
              "--early-stopping-patience needs evaluations: add --eval-strategy epoch");
  check_usage(evaluates || save_strategy != Strategy::kBest, "--save-strategy best needs evaluations: add --eval-strategy epoch");
  check_usage(!load_best_model_at_end || save_strategy != Strategy::kNo,
              "--load-best-model-at-end needs checkpoints: use --save-strategy best, or the one of --eval-strategy");
}

void TrainOptions::validate() const {
  check_usage(!model.empty(),
              "--model is missing: give the folder of a pretrained BERT (config.json, model.safetensors, vocab.txt)");
  check_usage(!data.empty(), "--data is missing: give the .h5 file that berth prepare wrote");
  check_usage(!output_dir.empty(), "--output-dir is missing: give the folder that the run is to be written to");
  std::error_code unlike;
  check_usage(!std::filesystem::equivalent(model, output_dir, unlike), "--output-dir ", output_dir.string(),
              " is the folder of --model, which the trained model would replace: give another one");
  check_usage(num_train_epochs > 0 || max_steps > 0, "--num-train-epochs must be positive, got ", num_train_epochs);
  check_range("--max-steps", max_steps, -1, kMostSteps);
  batch.validate();
  model_options.precision.validate();
  check_probability(model_options.hidden_dropout_prob, "--hidden-dropout-prob");
  check_probability(model_options.attention_probs_dropout_prob, "--attention-probs-dropout-prob");
  check_probability(model_options.classifier_dropout, "--classifier-dropout");
  check_probability(model_options.head_dropout, "--head-dropout");
  check_usage(model_options.label_smoothing_factor >= 0 && model_options.label_smoothing_factor < 1,
              "--label-smoothing-factor must lie in [0, 1), got ", model_options.label_smoothing_factor);
  check_usage(!batch.weighted_sampling || model_options.class_weights.empty(),
              "--weighted-sampling and --class-weights both make up for rare classes: give one of them");
  optimizer.validate();
  check_schedule(lr_scheduler_type, lr_scheduler_kwargs, optimizer.learning_rate);
  check_usage(lr_scheduler_type != ScheduleType::kReduceLrOnPlateau || eval_save.eval_strategy != Strategy::kNo,
              "--lr-scheduler-type reduce_lr_on_plateau needs evaluations: add --eval-strategy epoch");
  predictions.validate();
  check_range("--warmup-steps", warmup_steps, 0, kMostSteps);
  check_range("--warmup-ratio", warmup_ratio, 0, 1);
  check_range("--logging-steps", logging.logging_steps, 0, kMostSteps);
  eval_save.validate();
  masks.validate();
  check_range("--ddp-bucket-cap-mb", ddp_bucket_cap_mb, 1e-3, 1 << 20);
}

}  // namespace berth::train
