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

TEST(ResumeChoice, WordsOfBothWorldsAndFolders) {
  for (const char* word : {"auto", "true", "True"}) EXPECT_EQ(parse_resume(word).from, Resume::From::kNewest) << word;
  for (const char* word : {"none", "false", "False"}) EXPECT_EQ(parse_resume(word).from, Resume::From::kNothing) << word;
  const Resume folder = parse_resume("run/checkpoint-7");
  EXPECT_EQ(folder.from, Resume::From::kFolder);
  EXPECT_EQ(folder.folder, "run/checkpoint-7");
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
      [](auto& o) { o.logging.logging_steps = 0; },
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
