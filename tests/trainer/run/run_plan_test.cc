#include "trainer/run/run_plan.h"

#include <gtest/gtest.h>

#include "data/check.h"
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
  EXPECT_EQ(plan.steps_per_epoch, 2);
  EXPECT_EQ(plan.horizon.total_steps, 6);
  EXPECT_EQ(RunPlan::make(options(10, 1, 0.25), 100, 1).horizon.total_steps, 3);  // 2.5 steps, rounded up as transformers does
}

TEST(RunPlan, KeepsTheCheckpointsGlobalBatchOnOtherRankCounts) {
  EXPECT_EQ(RunPlan::make(options(8, 1, 1), 100, 3, 32).horizon.global_batch, 32);
  TrainOptions named = options(8, 1, 1);
  named.batch.global_batch_size = 24;
  EXPECT_EQ(RunPlan::make(named, 100, 3, 32).horizon.global_batch, 24);
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
  EXPECT_TRUE(plan.save_due(7, o.eval_save));
  EXPECT_TRUE(plan.save_due(20, o.eval_save)) << "the last step";
  EXPECT_FALSE(plan.save_due(19, o.eval_save));
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
  state.run_log = {{"loss", 0.30000000000000004}};
  state.log_history.push_back({{"loss", 0.5}, {"step", 1}});
  state.environment = {{"ranks", 2}};
  const RunState again = RunState::parse(state.to_json(0.5, "checkpoint-7"), "test");
  EXPECT_EQ(again.to_json(0.5, "checkpoint-7"), state.to_json(0.5, "checkpoint-7"));
  EXPECT_EQ(*again.best.metric, 0.1 + 0.2);
}

TEST(RunState, RefusesDamageAndImpossibleNumbers) {
  EXPECT_THROW(RunState::parse("{", "x"), Error);
  EXPECT_THROW(RunState::parse("{}", "x"), Error);
  RunState state;
  state.horizon = RunPlan::make(options(8, 1, 3), 100, 1).horizon;
  std::string unknown = state.to_json(0, "");
  unknown.replace(unknown.find("\"linear\""), 8, "\"zigzag\"");
  try {
    RunState::parse(unknown, "here/trainer_state.json");
    ADD_FAILURE() << "an unknown schedule was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadInput);
    EXPECT_NE(std::string(error.what()).find("here/trainer_state.json"), std::string::npos) << error.what();
  }
  state.global_step = 1000;
  EXPECT_THROW(RunState::parse(state.to_json(0, ""), "x"), Error);
}

TEST(Horizon, AResumeMayNotChangeOrderOrLearningRateUnnoticed) {
  const TrainOptions o = options(8, 1, 3);
  const Horizon began = RunPlan::make(o, 100, 1).horizon;
  EXPECT_NO_THROW(began.check_resumable(RunPlan::make(o, 100, 2, began.global_batch).horizon, false));
  EXPECT_THROW(began.check_resumable(RunPlan::make(o, 101, 1).horizon, false), Error);
  const Horizon longer = RunPlan::make(options(8, 1, 4), 100, 1).horizon;
  EXPECT_THROW(began.check_resumable(longer, false), Error);
  EXPECT_NO_THROW(began.check_resumable(longer, true));
  TrainOptions reseeded = o;
  reseeded.seed = 43;
  EXPECT_THROW(began.check_resumable(RunPlan::make(reseeded, 100, 1).horizon, true), Error);
}

}  // namespace
}  // namespace berth::train
