#include "trainer/run/train_options.h"

#include <gtest/gtest.h>

#include "data/check.h"

namespace berth::train {
namespace {

TrainOptions complete() {
  TrainOptions o;
  o.model = "model";
  o.data = "data.h5";
  o.output_dir = "run";
  return o;
}

TEST(ReportTo, NamesOfWhatBerthWrites) {
  const auto parsed = [](const std::vector<std::string>& names) {
    const ReportTo to = parse_report_to(names);
    return std::pair(to.jsonl, to.tensorboard);
  };
  EXPECT_EQ(parsed({"jsonl"}), std::pair(true, false));
  EXPECT_EQ(parsed({"tensorboard"}), std::pair(false, true));
  EXPECT_EQ(parsed({"tensorboard", "jsonl"}), std::pair(true, true));
  EXPECT_EQ(parsed({"all"}), std::pair(true, true));
  EXPECT_EQ(parsed({"none"}), std::pair(false, false));
  for (const std::vector<std::string>& unknown :
       {std::vector<std::string>{"wandb"}, {"jsonl", "wandb"}, {"none", "jsonl"}, {"jsonlines"}, {""}})
    EXPECT_THROW(parse_report_to(unknown), Error) << unknown.back();
}

TEST(TraceStepsText, AStepOrTheFirstAndTheLast) {
  const auto parsed = [](const std::string& text) {
    const TraceSteps steps = parse_trace_steps(text);
    return std::pair(steps.first, steps.last);
  };
  EXPECT_EQ(parsed("12"), std::pair(int64_t{12}, int64_t{12}));
  EXPECT_EQ(parsed("10-12"), std::pair(int64_t{10}, int64_t{12}));
  EXPECT_EQ(parsed("1-100"), std::pair(int64_t{1}, int64_t{100}));
  for (const char* text : {"", "0", "-3", "3-", "x", "4-3", "1-101", "1-2-3", "1 - 2", "99999999999999999999"})
    EXPECT_THROW(parse_trace_steps(text), Error) << text;
}

TEST(ResumeChoice, WordsOfBothWorldsAndFolders) {
  for (const char* word : {"auto", "true", "True"}) EXPECT_EQ(parse_resume(word).from, Resume::From::kNewest) << word;
  for (const char* word : {"none", "false", "False"}) EXPECT_EQ(parse_resume(word).from, Resume::From::kNothing) << word;
  const Resume folder = parse_resume("run/checkpoint-7");
  EXPECT_EQ(folder.from, Resume::From::kFolder);
  EXPECT_EQ(folder.folder, "run/checkpoint-7");
}

TEST(TrainOptions, NumbersHaveRanges) {
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInfinite = std::numeric_limits<double>::infinity();
  using Change = std::function<void(TrainOptions&)>;
  const std::pair<const char*, Change> changes[] = {
      {"--per-device-train-batch-size", [](auto& o) { o.batch.per_device_train_batch_size = kHuge; }},
      {"--per-device-eval-batch-size", [](auto& o) { o.batch.per_device_eval_batch_size = kHuge; }},
      {"--gradient-accumulation-steps", [](auto& o) { o.batch.gradient_accumulation_steps = kHuge; }},
      {"--global-batch-size", [](auto& o) { o.batch.global_batch_size = kHuge; }},
      {"--max-train-samples", [](auto& o) { o.batch.max_train_samples = 0; }},
      {"--max-eval-samples", [](auto& o) { o.batch.max_eval_samples = -2; }},
      {"--max-steps", [](auto& o) { o.max_steps = kHuge; }},
      {"--num-train-epochs", [](auto& o) { o.num_train_epochs = kNan; }},
      {"--warmup-steps", [](auto& o) { o.warmup_steps = 1e30; }},
      {"--warmup-ratio", [](auto& o) { o.warmup_ratio = kNan; }},
      {"--logging-steps", [](auto& o) { o.logging.logging_steps = kInfinite; }},
      {"--eval-steps", [](auto& o) { o.eval_save.eval_steps = kNan; }},
      {"--eval-delay", [](auto& o) { o.eval_save.eval_delay = -1; }},
      {"--save-steps", [](auto& o) { o.eval_save.save_steps = 1e30; }},
      {"--save-seconds", [](auto& o) { o.eval_save.save_seconds = kInfinite; }},
      {"--save-total-limit", [](auto& o) { o.eval_save.save_total_limit = -1; }},
      {"--early-stopping-patience", [](auto& o) { o.eval_save.early_stopping_patience = -1; }},
      {"--early-stopping-threshold", [](auto& o) { o.eval_save.early_stopping_threshold = kNan; }},
      {"--ddp-bucket-cap-mb", [](auto& o) { o.ddp_bucket_cap_mb = 1e30; }},
      {"--max-grad-norm", [](auto& o) { o.optimizer.max_grad_norm = kInfinite; }},
      {"--top-k", [](auto& o) { o.predictions.top_k = kHuge; }},
      {"--n-best-size", [](auto& o) { o.predictions.spans.n_best_size = 1 << 30; }},
  };
  for (const auto& [name, change] : changes) {
    TrainOptions o = complete();
    change(o);
    try {
      o.validate();
      ADD_FAILURE() << name << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage);
      EXPECT_TRUE(std::string(error.what()).starts_with(name)) << error.what();
    }
  }
}

TEST(TrainOptions, WhatDoesNotFitTogetherIsAUsageError) {
  EXPECT_NO_THROW(complete().validate());
  using Change = std::function<void(TrainOptions&)>;
  const Change changes[] = {
      [](auto& o) { o.model = ""; },
      [](auto& o) { o.data = ""; },
      [](auto& o) { o.output_dir = ""; },
      [](auto& o) { o.num_train_epochs = 0; },
      [](auto& o) { o.batch.per_device_train_batch_size = 0; },
      [](auto& o) { o.batch.gradient_accumulation_steps = 0; },
      [](auto& o) { o.batch.global_batch_size = -1; },
      [](auto& o) { o.model_options.hidden_dropout_prob = 1.0; },
      [](auto& o) { o.model_options.label_smoothing_factor = 1.0; },
      [](auto& o) { o.warmup_ratio = 1.5; },
      [](auto& o) {
        o.batch.weighted_sampling = true;
        o.model_options.class_weights = {"balanced"};
      },
      [](auto& o) { o.logging.logging_steps = -1; },
      [](auto& o) { o.eval_save.eval_strategy = Strategy::kBest; },
      [](auto& o) { o.eval_save.load_best_model_at_end = true; },
      [](auto& o) { o.eval_save.early_stopping_patience = 1; },
      [](auto& o) { o.eval_save.save_strategy = Strategy::kBest; },
      [](auto& o) {
        o.eval_save.eval_strategy = Strategy::kEpoch;
        o.eval_save.load_best_model_at_end = true;
        o.eval_save.save_strategy = Strategy::kNo;
      },
  };
  for (size_t i = 0; i < std::size(changes); ++i) {
    TrainOptions o = complete();
    changes[i](o);
    try {
      o.validate();
      ADD_FAILURE() << "change " << i << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage) << error.what();
    }
  }
}

TEST(Strategy, Names) {
  EXPECT_EQ(parse_strategy("no"), Strategy::kNo);
  EXPECT_EQ(parse_strategy("steps"), Strategy::kSteps);
  EXPECT_EQ(parse_strategy("epoch"), Strategy::kEpoch);
  EXPECT_EQ(parse_strategy("best"), Strategy::kBest);
  EXPECT_THROW(parse_strategy("sometimes"), Error);
}

}  // namespace
}  // namespace berth::train
