#include "trainer/run/run_plan.h"

#include <gtest/gtest.h>

#include "data/check.h"
#include "trainer/run/fixed_options.h"
#include "trainer/run/not_finite.h"
#include "trainer/run/run_state.h"

namespace berth::train {
namespace {

TrainOptions options(int64_t per_device, int64_t accumulation, double epochs) {
  TrainOptions o;
  o.batch.per_device_train_batch_size = per_device;
  o.batch.gradient_accumulation_steps = accumulation;
  o.num_train_epochs = epochs;
  return o;
}

TEST(RunPlan, CountsStepsFromTheGlobalBatch) {
  const RunPlan plan = RunPlan::make(options(8, 2, 3), 100, 4);
  EXPECT_EQ(plan.horizon.global_batch, 64);
  EXPECT_EQ(plan.horizon.sampler().steps_per_epoch(), 2);
  EXPECT_EQ(plan.horizon.total_steps, 6);
  EXPECT_EQ(RunPlan::make(options(10, 1, 0.25), 100, 1).horizon.total_steps, 3);  // 2.5 steps, rounded up as transformers does
}

TEST(RunPlan, KeepsTheCheckpointsGlobalBatchOnOtherRankCounts) {
  const Horizon stored = RunPlan::make(options(32, 1, 1), 100, 1).horizon;
  EXPECT_EQ(RunPlan::make(options(8, 1, 1), 100, 3, &stored, 2).horizon.global_batch, 32);
  EXPECT_EQ(RunPlan::make(options(8, 1, 1), 100, 3, &stored, 0).horizon.global_batch, 32);
}

// 100 samples in batches of 10; after 13 steps, in batches of 20: 20, 20, 20 and the last 10 of the second epoch, then 5 a epoch.
TEST(RunPlan, AnotherGlobalBatchGoesOnWhereTheOldOneWas) {
  TrainOptions o = options(10, 1, 3);
  const Horizon began = RunPlan::make(o, 100, 1).horizon;
  o.batch.global_batch_size = 20;
  const RunPlan plan = RunPlan::make(o, 100, 1, &began, 13);
  const Horizon& now = plan.horizon;
  EXPECT_EQ(now.total_steps, 13 + 4 + 5);
  const data::Sampler before = began.sampler(), after = now.sampler();
  for (int64_t epoch : {1, 2}) {
    std::vector<int64_t> seen;
    const auto take = [&](const std::vector<int64_t>& samples) { seen.insert(seen.end(), samples.begin(), samples.end()); };
    for (int64_t step = 10; epoch == 1 && step < 13; ++step) take(before.global_step(step));
    for (int64_t step = 13; step < now.total_steps; ++step)
      if (after.position(step).epoch == epoch) take(after.global_step(step));
    std::vector<int64_t> whole;
    for (int64_t step = 10 * epoch; step < 10 * (epoch + 1); ++step) {
      const std::vector<int64_t> samples = before.global_step(step);
      whole.insert(whole.end(), samples.begin(), samples.end());
    }
    EXPECT_EQ(seen, whole) << "epoch " << epoch;
  }
  EXPECT_EQ(plan.epoch_at(13), 1.3);
  EXPECT_EQ(plan.epoch_at(17), 2);
  EXPECT_EQ(plan.epoch_at(22), 3);
  EXPECT_EQ(now.learning_rate_factor(13, 1), began.learning_rate_factor(13, 1)) << "no jump";
  EXPECT_EQ(now.learning_rate_factor(22, 1), 0);
  double last = 1;
  for (int64_t step = 13; step <= 22; ++step) {
    EXPECT_LT(now.learning_rate_factor(step, 1), last);
    last = now.learning_rate_factor(step, 1);
  }
  o.batch.global_batch_size = 0;
  const Horizon later = RunPlan::make(o, 100, 1, &now, 15).horizon;
  EXPECT_EQ(later.global_batch, 20) << "kept when the run goes on once more";
  EXPECT_EQ(later.total_steps, now.total_steps);
  EXPECT_EQ(later.start.step, 13);
}

TEST(RunPlan, RefusesMoreRanksThanSamplesInTheGlobalBatch) {
  TrainOptions o = options(8, 1, 1);
  o.batch.global_batch_size = 3;
  EXPECT_NO_THROW(RunPlan::make(o, 100, 3));
  EXPECT_THROW(RunPlan::make(o, 100, 4), Error);
}

TEST(RunPlan, IntervalsBelowOneAreSharesOfTheRun) {
  TrainOptions o = options(10, 1, 2);
  o.logging.logging_steps = 0.1;
  o.eval_save.eval_strategy = Strategy::kSteps;
  o.eval_save.save_steps = 7;
  const RunPlan plan = RunPlan::make(o, 100, 1);
  EXPECT_EQ(plan.logging_steps, 2);
  EXPECT_EQ(plan.eval_steps, 2);  // as logging_steps
  EXPECT_TRUE(plan.eval_due(4, o.eval_save));
  EXPECT_FALSE(plan.eval_due(5, o.eval_save));
  o.eval_save.eval_steps = 7;
  EXPECT_TRUE(RunPlan::make(o, 100, 1).eval_due(20, o.eval_save)) << "the last step";
  EXPECT_TRUE(plan.save_due(7, o.eval_save));
  EXPECT_TRUE(plan.save_due(20, o.eval_save)) << "the last step";
  EXPECT_FALSE(plan.save_due(19, o.eval_save));
}

TEST(RunPlan, LogsAsTrainerDoesButAtLeastAtEveryFiftiethOfARun) {
  TrainOptions o = options(10, 1, 2);
  o.eval_save.eval_strategy = Strategy::kSteps;
  for (const auto& [steps, every] : {std::pair<int64_t, int64_t>{45, 1}, {1000, 20}, {1'000'000, 500}}) {
    o.max_steps = steps;
    EXPECT_EQ(RunPlan::make(o, 100, 1).logging_steps, every);
    EXPECT_EQ(RunPlan::make(o, 100, 1).eval_steps, 500);
  }
}

TEST(RunPlan, EpochStrategiesFireAtEachEpochsEndAndAtTheRunsEnd) {
  TrainOptions o = options(10, 1, 1.5);
  o.eval_save.eval_strategy = o.eval_save.save_strategy = Strategy::kEpoch;
  const RunPlan plan = RunPlan::make(o, 100, 1);
  std::vector<int64_t> due;
  for (int64_t step = 1; step <= plan.horizon.total_steps; ++step)
    if (plan.eval_due(step, o.eval_save) && plan.save_due(step, o.eval_save)) due.push_back(step);
  EXPECT_EQ(due, (std::vector<int64_t>{10, 15}));
}

TEST(RunState, SurvivesARoundTripExactly) {
  RunState state;
  state.horizon = RunPlan::make(options(8, 1, 3), 100, 1).horizon;
  state.global_step = 7;
  state.samples_seen = 56;
  state.best.metric = 0.1 + 0.2;
  state.best.last = 0.25;
  state.best.greater = true;
  state.kept = {.step = 6, .metric = 0.2, .checkpoint = "checkpoint-6"};
  state.not_kept = "the disk was full";
  state.overflowed_steps = 2;
  state.loss_scale = {.scale = 16384, .updates = 5};
  state.started_from = "/runs/a/checkpoint-5";
  state.run_log = {{"loss", 0.30000000000000004}};
  state.log_history.push_back({{"loss", 0.5}, {"step", 1}});
  state.environment = {{"ranks", 2}};
  const RunState again = RunState::parse(state.to_json(0.5), "test");
  EXPECT_EQ(again.to_json(0.5), state.to_json(0.5));
  EXPECT_EQ(*again.best.metric, 0.1 + 0.2);
  EXPECT_EQ(again.loss_scale->scale, 16384);
  EXPECT_EQ(again.loss_scale->updates, 5);
}

TEST(RunPlan, MoreStepsThanCanBeCountedAreAUsageError) {
  TrainOptions o = options(8, 1, 1e30);
  try {
    RunPlan::make(o, 100, 1);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_NE(std::string(error.what()).find("--num-train-epochs 1e+30"), std::string::npos) << error.what();
  }
}

TEST(NotFinite, EndsARunThatSkipsTooManySteps) {
  RunState state;
  state.horizon.total_steps = 1000;
  state.global_step = 200;
  state.optimizer_steps = 100;
  EXPECT_EQ(too_many_skipped(state), "") << "a tenth of the run's steps, never ten in a row";
  state.skipped_in_a_row = 10;
  EXPECT_EQ(too_many_skipped(state), "the last 10 steps were all skipped");
  state.skipped_in_a_row = 1;
  state.optimizer_steps = 99;
  EXPECT_EQ(too_many_skipped(state), "101 of 200 steps were skipped");
  state.overflowed_steps = 1;
  EXPECT_EQ(too_many_skipped(state), "") << "an overflow in fp16 is none of them";
  state.overflowed_steps = 0;
  state.horizon.total_steps = 5;
  state.global_step = 4;
  state.optimizer_steps = 1;
  EXPECT_EQ(too_many_skipped(state), "") << "three of a few";
}

TEST(NotFinite, OnlyAnOverflowForTheLossScaleIsExcused) {
  RunState state;
  StepResult result{.finite = false, .overflowed = true, .loss_scale = {.scale = 8, .updates = 0}};
  EXPECT_FALSE(overflow_is_skipped(state, result, 0)) << "the loss is not scaled";
  state.loss_scale = {.scale = 16, .updates = 3};
  EXPECT_TRUE(overflow_is_skipped(state, result, 0));
  EXPECT_EQ(state.overflowed_steps, 1);
  EXPECT_EQ(state.loss_scale->scale, 8);
  result = {.finite = true, .loss_scale = {.scale = 8, .updates = 1}};
  EXPECT_FALSE(overflow_is_skipped(state, result, 0));
  EXPECT_EQ(state.loss_scale->updates, 1);
  result = {.finite = false, .loss_scale = {.scale = 1, .updates = 0}};
  EXPECT_FALSE(overflow_is_skipped(state, result, 0));
  EXPECT_EQ(state.overflowed_steps, 1);
  try {
    stop_or_skip(state, OnNan::kStop, "somewhere", 0);
    ADD_FAILURE() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kDiverged);
    EXPECT_NE(std::string(error.what()).find("fp16's loss scale is down to 1"), std::string::npos) << error.what();
  }
}

TEST(RunState, TheBestKeptIsTheBestThatWasSaved) {
  RunState state;
  state.global_step = state.last_eval_step = 4;
  EXPECT_FALSE(state.beats_kept()) << "not evaluated";
  state.best.last = 0.5;
  EXPECT_TRUE(state.beats_kept());
  state.kept = {.step = 2, .metric = 0.5, .checkpoint = "checkpoint-2"};
  EXPECT_FALSE(state.beats_kept()) << "of equals the first is kept";
  state.kept.metric = 0.6;
  EXPECT_TRUE(state.beats_kept());
  state.best.greater = true;
  EXPECT_FALSE(state.beats_kept());
  state.kept.metric = 0.4;
  EXPECT_TRUE(state.beats_kept());
  state.global_step = 5;
  EXPECT_FALSE(state.beats_kept()) << "evaluated at an earlier step";
}

TEST(RunState, RefusesDamageAndImpossibleNumbers) {
  EXPECT_THROW(RunState::parse("{", "x"), Error);
  EXPECT_THROW(RunState::parse("{}", "x"), Error);
  RunState state;
  state.horizon = RunPlan::make(options(8, 1, 3), 100, 1).horizon;
  std::string unknown = state.to_json(0);
  unknown.replace(unknown.find("\"linear\""), 8, "\"zigzag\"");
  try {
    RunState::parse(unknown, "here/trainer_state.json");
    ADD_FAILURE() << "an unknown schedule was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadInput);
    EXPECT_NE(std::string(error.what()).find("here/trainer_state.json"), std::string::npos) << error.what();
  }
  for (const char* number : {"1e300", "0.5", "true", "18446744073709551615", "null"}) {
    std::string text = state.to_json(0);
    text.replace(text.find("\"global_step\": 0"), 16, concat("\"global_step\": ", number));
    EXPECT_THROW(RunState::parse(text, "x"), Error) << number;
  }
  for (const float scale : {0.5f, std::numeric_limits<float>::infinity()}) {
    state.loss_scale = {.scale = scale, .updates = 0};
    EXPECT_THROW(RunState::parse(state.to_json(0), "x"), Error);
  }
  state.loss_scale.reset();
  EXPECT_NO_THROW(RunState::parse(state.to_json(0), "x"));
  state.global_step = 1000;
  EXPECT_THROW(RunState::parse(state.to_json(0), "x"), Error);
}

// The message of what is thrown; "" if nothing.
std::string refusal(const nlohmann::ordered_json& began, const nlohmann::ordered_json& now,
                    const std::vector<std::string>& allowed = {}) {
  try {
    check_fixed_options(began, now, allowed, "run/checkpoint-5");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    return error.what();
  }
  return "";
}

TEST(FixedOptions, AllThatDifferAreListedAndMayBeAllowedByName) {
  TrainOptions o = options(8, 1, 3);
  data::DatasetInfo info;
  info.content_sha256 = {{"train", "abc"}};
  info.label_names = {"ham", "spam"};
  LabelWeights weights{.values = {1, 2.5}};
  const auto of = [&] { return fixed_options(o, RunPlan::make(o, 100, 1).horizon, info, weights, nullptr); };
  const auto began = of();
  EXPECT_EQ(refusal(began, of()), "");
  o.optimizer.learning_rate = 3e-5;
  o.seed = 7;
  o.num_train_epochs = 4;
  info.content_sha256["train"] = "def";
  weights.values = {1, 5};
  o.batch.weighted_sampling = true;
  const std::string all = refusal(began, of());
  for (const char* part :
       {"run/checkpoint-5", "--learning-rate 5e-05, now 3e-05", "--seed 42, now 7", "--data-seed 42, now 7",
        "--allow-change seed", "--data holds other samples",
        "--class-weights {\"ham\":1.0,\"spam\":2.5}, now {\"ham\":1.0,\"spam\":5.0}", "--weighted-sampling false, now true",
        "--allow-change seed,data_seed,max_steps,data,learning_rate,class_weights,weighted_sampling"})
    EXPECT_NE(all.find(part), std::string::npos) << part << " in: " << all;
  const std::string some = refusal(began, of(), {"--learning-rate", "data-seed", "num_train_epochs"});
  EXPECT_EQ(some.find("--learning-rate"), std::string::npos) << some;
  EXPECT_EQ(some.find("steps"), std::string::npos) << some;
  EXPECT_NE(some.find("--seed 42"), std::string::npos) << some;
  EXPECT_EQ(refusal(began, of(), {"all"}), "");
  EXPECT_NE(refusal(began, of(), {"learning_rat"}).find("none of seed, "), std::string::npos);
}

TEST(FixedOptions, AModelOfAnotherNameIsAnotherModel) {
  TrainOptions o = options(8, 1, 3);
  const auto with = [&](const char* model) {
    o.model = model;
    return fixed_options(o, RunPlan::make(o, 100, 1).horizon, {}, {}, nullptr);
  };
  const auto began = with("/models/minilm/");
  for (const char* same :
       {"minilm", "./minilm", "/scratch/x/../minilm/", "microsoft/minilm", "/hub/models--microsoft--minilm/snapshots/1a2b3c"})
    EXPECT_EQ(refusal(began, with(same)), "") << same;
  const std::string refused = refusal(began, with("bert-large"));
  EXPECT_NE(refused.find("--model \"minilm\", now \"bert-large\", which a run that goes on does not read"), std::string::npos)
      << refused;
  EXPECT_EQ(refusal(began, with("bert-large"), {"model"}), "");
}

TEST(FixedOptions, OlderCheckpointsAreComparedByWhatTheyTell) {
  TrainOptions o = options(8, 1, 3);
  const Horizon horizon = RunPlan::make(o, 100, 1).horizon;
  o.optimizer.learning_rate = 1;
  EXPECT_EQ(refusal(fixed_options(horizon), fixed_options(o, horizon, {}, {}, nullptr)), "");
  const Horizon other = RunPlan::make(o, 101, 1).horizon;
  EXPECT_NE(refusal(fixed_options(horizon), fixed_options(o, other, {}, {}, nullptr)).find("100 samples, now 101"),
            std::string::npos);
}

}  // namespace
}  // namespace berth::train
