#include "trainer/run/train_setup.h"

#include <gtest/gtest.h>

#include "tests/trainer/run/tiny_run.h"
#include "trainer/run/replicas.h"
#include "trainer/run/train_loop.h"

namespace berth::train {
namespace {

class TrainSetupTest : public TinyRun {
 protected:
  TrainSetup set_up_with(const TrainOptions& o) { return set_up(o, RunFolder(o, *comm_), *comm_); }
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
  for (const auto& [name, moment] : setup.optimizer->state()) moved |= moment.abs().max().item<float>() > 0;
  EXPECT_TRUE(moved);
}

TEST_F(TrainSetupTest, OptionsThatWouldBendTheRunAreRefused) {
  train_until(options(), 3);
  TrainOptions longer = options();
  longer.max_steps = 12;
  const Outcome refused = outcome_of([&] { set_up_with(longer); });
  EXPECT_EQ(refused.code, ExitCode::kUsage);
  EXPECT_NE(refused.message.find("--allow-horizon-change"), std::string::npos) << refused.message;
  longer.allow_horizon_change = true;
  EXPECT_EQ(set_up_with(longer).plan.horizon.total_steps, 12);
  TrainOptions reseeded = options();
  reseeded.data_seed = 1;
  EXPECT_EQ(outcome_of([&] { set_up_with(reseeded); }).code, ExitCode::kUsage);
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
