#include "trainer/run/train_options.h"

#include <array>
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

void TrainOptions::validate() const {
  check_usage(!model.empty(),
              "--model is missing: give the folder of a pretrained BERT (config.json, model.safetensors, vocab.txt)");
  check_usage(!data.empty(), "--data is missing: give the .h5 file that berth prepare wrote");
  check_usage(!output_dir.empty(), "--output-dir is missing: give the folder that the run is to be written to");
  check_usage(num_train_epochs > 0 || max_steps > 0, "--num-train-epochs must be positive, got ", num_train_epochs);
  check_usage(batch.per_device_train_batch_size > 0, "--per-device-train-batch-size must be positive, got ",
              batch.per_device_train_batch_size);
  check_usage(batch.per_device_eval_batch_size > 0, "--per-device-eval-batch-size must be positive, got ",
              batch.per_device_eval_batch_size);
  check_usage(batch.gradient_accumulation_steps > 0, "--gradient-accumulation-steps must be positive, got ",
              batch.gradient_accumulation_steps);
  check_usage(batch.global_batch_size >= 0,
              "--global-batch-size must be positive, or 0 for per device x ranks x accumulation; got ", batch.global_batch_size);
  check_probability(model_options.hidden_dropout_prob, "--hidden-dropout-prob");
  check_probability(model_options.attention_probs_dropout_prob, "--attention-probs-dropout-prob");
  check_probability(model_options.classifier_dropout, "--classifier-dropout");
  check_usage(model_options.label_smoothing_factor >= 0 && model_options.label_smoothing_factor < 1,
              "--label-smoothing-factor must lie in [0, 1), got ", model_options.label_smoothing_factor);
  optimizer.validate();
  predictions.validate();
  check_usage(warmup_steps >= 0, "--warmup-steps must not be negative, got ", warmup_steps);
  check_usage(warmup_ratio >= 0 && warmup_ratio <= 1, "--warmup-ratio must lie in [0, 1], got ", warmup_ratio);
  check_usage(logging.logging_steps > 0, "--logging-steps must be positive, got ", logging.logging_steps);
  check_usage(eval_save.eval_steps >= 0, "--eval-steps must not be negative, got ", eval_save.eval_steps);
  check_usage(eval_save.save_steps > 0, "--save-steps must be positive, got ", eval_save.save_steps);
  check_usage(eval_save.eval_strategy != Strategy::kBest, "--eval-strategy best does not exist; use no, steps or epoch");
  const bool evaluates = eval_save.eval_strategy != Strategy::kNo;
  check_usage(evaluates || !eval_save.load_best_model_at_end,
              "--load-best-model-at-end needs evaluations: add --eval-strategy epoch");
  check_usage(evaluates || eval_save.early_stopping_patience == 0,
              "--early-stopping-patience needs evaluations: add --eval-strategy epoch");
  check_usage(evaluates || eval_save.save_strategy != Strategy::kBest,
              "--save-strategy best needs evaluations: add --eval-strategy epoch");
  check_usage(!eval_save.load_best_model_at_end || eval_save.save_strategy != Strategy::kNo,
              "--load-best-model-at-end needs checkpoints: use --save-strategy best, or the one of --eval-strategy");
  masks.validate();
  check_usage(ddp_bucket_cap_mb > 0, "--ddp-bucket-cap-mb must be positive, got ", ddp_bucket_cap_mb);
}

}  // namespace berth::train
