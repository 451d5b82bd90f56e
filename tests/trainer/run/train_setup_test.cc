#include "trainer/run/train_setup.h"

#include <gtest/gtest.h>

#include "tests/trainer/run/tiny_run.h"
#include "trainer/run/replicas.h"
#include "trainer/run/train_loop.h"

namespace berth::train {
namespace {

class TrainSetupTest : public TinyRun {
 protected:
  TrainSetup set_up_with(const TrainOptions& o) {
    const RunFolder folder(o, *comm_);
    return set_up(o, &folder, *comm_);
  }
  uint64_t hash(const TrainSetup& setup) { return parameter_hash(setup.model->parameters()); }

  // Stops by itself after so many steps, with a checkpoint.
  void train_until(const TrainOptions& o, int64_t steps) {
    int64_t asked = 0;  // once before each step
    ASSERT_EQ(train(o, RunFolder(o, *comm_), *comm_, {.stop = [&] { return asked++ == steps; }}), TrainOutcome::kStoppedEarly);
  }
};

TEST_F(TrainSetupTest, AFreshRunHasThePretrainedWeightsAndANewHeadFromTheSeed) {
  const TrainSetup setup = set_up_with(options());
  EXPECT_FALSE(setup.resumed);
  EXPECT_EQ(setup.state.global_step, 0);
  EXPECT_EQ(setup.plan.horizon.total_steps, 10);
  EXPECT_EQ(setup.state.horizon.num_samples, 60);
  EXPECT_EQ(setup.validation, nullptr);
  EXPECT_EQ(setup.model_sha256.size(), 1u);
  EXPECT_EQ(setup.model->config().label_names, (std::vector<std::string>{"negative", "positive"}));
  EXPECT_EQ(hash(setup), hash(set_up_with(options())));
}

TEST_F(TrainSetupTest, WhatTheFilesLackIsWhatFromScratchWouldBe) {
  const TrainSetup setup = set_up_with(options());
  const auto make = [&] { return ModelInstance(setup.model->config(), setup.dataset->info().task, *comm_); };
  ModelInstance whole = make(), one = make();
  whole.initialize(7);
  one.initialize(7, "classifier.weight");
  for (const Parameter& parameter : one.parameters().parameters()) {
    if (parameter.name == "classifier.weight") {
      EXPECT_TRUE(parameter.value.equal(whole.parameters()[parameter.name].value));
    } else {
      EXPECT_FALSE(parameter.value.any().item<bool>()) << parameter.name;
    }
  }
}

TEST_F(TrainSetupTest, FromScratchIsTheSeedsAlone) {
  TrainOptions o = options();
  const uint64_t pretrained = hash(set_up_with(o));
  o.from_scratch = true;
  const TrainSetup scratch = set_up_with(o);
  EXPECT_TRUE(scratch.model_sha256.empty());
  EXPECT_NE(hash(scratch), pretrained);
  o.seed = 7;
  EXPECT_NE(hash(set_up_with(o)), hash(scratch));
}

TEST_F(TrainSetupTest, AResumeHasTheCheckpointsWeightsMomentsAndPosition) {
  train_until(options(), 3);
  const TrainSetup setup = set_up_with(options());
  EXPECT_TRUE(setup.resumed);
  EXPECT_EQ(setup.model_folder, checkpoint(3));
  EXPECT_EQ(setup.state.global_step, 3);
  EXPECT_EQ(setup.state.samples_seen, 18);
  EXPECT_EQ(setup.optimizer->steps(), 3);
  bool moved = false;
  for (const auto& [name, moment] : setup.optimizer->gathered_state()) moved |= moment.abs().max().item<float>() > 0;
  EXPECT_TRUE(moved);
}

TEST_F(TrainSetupTest, OptionsThatWouldBendTheRunAreRefused) {
  train_until(options(), 3);
  TrainOptions longer = options();
  longer.max_steps = 12;
  const Outcome refused = outcome_of([&] { set_up_with(longer); });
  EXPECT_EQ(refused.code, ExitCode::kUsage);
  EXPECT_NE(refused.message.find("it has 10 steps, now 12"), std::string::npos) << refused.message;
  longer.allow_change = {"max_steps"};
  EXPECT_EQ(set_up_with(longer).plan.horizon.total_steps, 12);
  TrainOptions reseeded = options();
  reseeded.data_seed = 1;
  EXPECT_EQ(outcome_of([&] { set_up_with(reseeded); }).code, ExitCode::kUsage);
  TrainOptions dropless = options();
  dropless.model_options.hidden_dropout_prob = 0;
  EXPECT_NE(outcome_of([&] { set_up_with(dropless); }).message.find("--hidden-dropout-prob"), std::string::npos);
}

// As many rows with other words.
TEST_F(TrainSetupTest, AnotherDataSetOfTheSameSizeIsRefused) {
  train_until(options(), 3);
  test::write_tiny_reviews(folder_ / "other.csv", 60, 3);
  const auto prepared = [&](const std::filesystem::path& csv, const std::string& name) {
    data::prepare({.train_file = csv,
                   .validation_file = *files_ / "validation.csv",
                   .tokenizer = *files_ / "model",
                   .output = folder_ / name,
                   .max_length = 32,
                   .threads = 1});
    TrainOptions o = options();
    o.data = folder_ / name;
    return o;
  };
  EXPECT_EQ(outcome_of([&] { set_up_with(prepared(*files_ / "train.csv", "same.h5")); }).message, "");
  TrainOptions other = prepared(folder_ / "other.csv", "other.h5");
  EXPECT_NE(outcome_of([&] { set_up_with(other); }).message.find("--data holds other samples"), std::string::npos);
  other.allow_change = {"data"};
  EXPECT_EQ(outcome_of([&] { set_up_with(other); }).message, "");
}

// A complete run, too: the same command with another data set must not end as if it had been trained on it.
TEST_F(TrainSetupTest, ACompleteRunOfOtherOptionsIsNotTakenForThisOne) {
  ASSERT_EQ(train(options(), RunFolder(options(), *comm_), *comm_, {.stop = [] { return false; }}), TrainOutcome::kDone);
  TrainOptions o = options();
  o.optimizer.learning_rate = 2e-3;
  const Outcome refused = outcome_of([&] { set_up_with(o); });
  EXPECT_EQ(refused.code, ExitCode::kUsage);
  EXPECT_NE(refused.message.find("--learning-rate"), std::string::npos) << refused.message;
}

TEST_F(TrainSetupTest, TheGlobalBatchIsChangedByName) {
  train_until(options(), 3);
  TrainOptions o = options();
  o.batch.global_batch_size = 12;
  const TrainSetup setup = set_up_with(o);
  EXPECT_EQ(setup.state.horizon.global_batch, 12);
  EXPECT_EQ(setup.state.horizon.start.step, 3);
  EXPECT_EQ(setup.state.horizon.start.sample, 18);
  train_until(o, 2);
  o.batch.global_batch_size = 0;
  const TrainSetup later = set_up_with(o);
  EXPECT_EQ(later.state.samples_seen, 3 * 6 + 2 * 12);
  EXPECT_EQ(later.state.horizon.global_batch, 12);
}

TEST_F(TrainSetupTest, OfACompleteRunOnlyTheStateIsThere) {
  ASSERT_EQ(train(options(), RunFolder(options(), *comm_), *comm_, {.stop = [] { return false; }}), TrainOutcome::kDone);
  const TrainSetup setup = set_up_with(options());
  EXPECT_TRUE(setup.state.complete);
  EXPECT_EQ(setup.state.global_step, 10);
  EXPECT_EQ(setup.model, nullptr);
}

TEST_F(TrainSetupTest, DataThatDoNotFitAreBadInputThatSaysWhy) {
  TrainOptions o = options();
  o.eval_save.eval_strategy = Strategy::kEpoch;
  EXPECT_NE(set_up_with(o).validation, nullptr);

  TrainOptions missing = options();
  missing.data = folder_ / "missing.h5";
  EXPECT_EQ(outcome_of([&] { set_up_with(missing); }).code, ExitCode::kBadInput);

  data::prepare({.train_file = *files_ / "train.csv",
                 .tokenizer = *files_ / "model",
                 .output = folder_ / "no_validation.h5",
                 .max_length = 32,
                 .threads = 1});
  o.data = folder_ / "no_validation.h5";
  const Outcome split = outcome_of([&] { set_up_with(o); });
  EXPECT_EQ(split.code, ExitCode::kBadInput);
  EXPECT_NE(split.message.find("validation"), std::string::npos) << split.message;

  std::string vocab = test::read_bytes(*files_ / "model/vocab.txt");
  test::write_bytes(folder_ / "vocab.txt", vocab + "another\n");
  data::prepare({.train_file = *files_ / "train.csv",
                 .tokenizer = folder_ / "vocab.txt",
                 .output = folder_ / "other_vocab.h5",
                 .max_length = 32,
                 .threads = 1});
  TrainOptions other = options();
  other.data = folder_ / "other_vocab.h5";
  const Outcome vocabulary = outcome_of([&] { set_up_with(other); });
  EXPECT_EQ(vocabulary.code, ExitCode::kBadInput);
  EXPECT_NE(vocabulary.message.find("vocabulary"), std::string::npos) << vocabulary.message;
}

}  // namespace
}  // namespace berth::train
