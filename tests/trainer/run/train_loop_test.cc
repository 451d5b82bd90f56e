#include "trainer/run/train_loop.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "tests/trainer/run/whole_run.h"

namespace berth::train {
namespace {

TEST_F(TrainLoopTest, TellsItsListenersWhatItDoes) {
  TrainOptions o = in("a");
  o.logging.logging_steps = 3;
  o.eval_save.eval_strategy = Strategy::kSteps;
  o.eval_save.eval_steps = 5;
  const Result result = run_with(o);
  EXPECT_EQ(result.outcome, TrainOutcome::kDone);
  EXPECT_EQ(result.heard.started_at, 0);
  EXPECT_EQ(result.heard.total, 10);
  EXPECT_EQ(result.heard.steps.size(), 10u);
  EXPECT_EQ(result.heard.logs, (std::vector<int64_t>{3, 6, 9, 10})) << "the end logs what is left";
  EXPECT_EQ(result.heard.evaluations, (std::vector<int64_t>{5, 10}));
  EXPECT_EQ(result.heard.evaluated, 21);
  EXPECT_EQ(result.heard.finished, 1);
  EXPECT_TRUE(fs::exists(folder_ / "a/model.safetensors"));
}

TEST_F(TrainLoopTest, StoppedAfterAnyStepAndGoneOnItEndsInTheSameBits) {
  run_with(in("whole"));
  for (int64_t step : {0, 1, 4, 9}) {
    const std::string name = "stopped" + std::to_string(step);
    EXPECT_EQ(run_with(in(name), step).outcome, TrainOutcome::kStoppedEarly);
    EXPECT_EQ(checkpoints(name), (std::vector<int64_t>{step}));
    EXPECT_FALSE(fs::exists(folder_ / name / "model.safetensors"));
    const Result rest = run_with(in(name));
    EXPECT_EQ(rest.outcome, TrainOutcome::kDone);
    EXPECT_EQ(rest.heard.started_at, step);
    EXPECT_EQ(rest.heard.steps.size(), static_cast<size_t>(10 - step));
    EXPECT_TRUE(bytes(name + "/model.safetensors") == bytes("whole/model.safetensors")) << step;
  }
}

// The FLOPs of a run that was stopped are those of one that was not; on CPUs there is no share of a peak.
TEST_F(TrainLoopTest, RecordsFlopsMemoryAndDevice) {
  run_with(in("whole"));
  run_with(in("stopped"), 4);
  run_with(in("stopped"));
  for (const std::string name : {"whole", "stopped"}) {
    const auto results = nlohmann::json::parse(bytes(name + "/train_results.json"));
    EXPECT_EQ(results["train_device"], "cpu");
    EXPECT_GT(results["train_mem_cpu_peak"], 10 << 20);
    EXPECT_FALSE(results.contains("train_mem_gpu_peak") || results.contains("train_mfu"));
    EXPECT_GT(results["total_flos"], 0);
    EXPECT_EQ(results["total_flos"], nlohmann::json::parse(bytes("whole/train_results.json"))["total_flos"]);
    const auto records = test::read_jsonl(folder_ / name / "metrics.jsonl");
    EXPECT_GT(records[0]["mem_cpu_peak"], 10 << 20);
    EXPECT_EQ(nlohmann::json::parse(bytes(name + "/provenance.json"))["jobs"].back()["device"], "cpu");
  }
}

TEST_F(TrainLoopTest, ACompleteRunIsNotTouched) {
  run_with(in("complete"));
  const Result again = run_with(in("complete"));
  EXPECT_EQ(again.outcome, TrainOutcome::kDone);
  EXPECT_TRUE(again.heard.steps.empty());
  EXPECT_EQ(again.heard.finished, 0);
}

// The first evaluation is made the best by a threshold that nothing passes: the run stops when its patience is over, and so does
// one that was stopped and gone on in between.
TEST_F(TrainLoopTest, StopsEarlyAlsoAfterAResume) {
  const auto patient = [&](const std::string& name) {
    TrainOptions o = in(name);
    o.eval_save.eval_strategy = Strategy::kSteps;
    o.eval_save.eval_steps = 1;
    o.eval_save.early_stopping_patience = 3;
    o.eval_save.early_stopping_threshold = 1e9;
    return o;
  };
  const Result whole = run_with(patient("whole"));
  EXPECT_EQ(whole.outcome, TrainOutcome::kDone);
  EXPECT_EQ(whole.heard.steps.size(), 4u);
  EXPECT_TRUE(state("whole")["berth"]["complete"]);
  for (int64_t step : {2, 3}) {
    const std::string name = "resumed" + std::to_string(step);
    EXPECT_EQ(run_with(patient(name), step).outcome, TrainOutcome::kStoppedEarly);
    const Result rest = run_with(patient(name));
    EXPECT_EQ(rest.outcome, TrainOutcome::kDone);
    EXPECT_EQ(step + std::ssize(rest.heard.steps), 4);
    EXPECT_TRUE(bytes(name + "/model.safetensors") == bytes("whole/model.safetensors"));
  }
}

// Killed between the save after the evaluation that ends the run, and the end.
TEST_F(TrainLoopTest, WhatItsLastCheckpointDecidedIsNotForgotten) {
  TrainOptions o = in("decided");
  o.eval_save.eval_strategy = Strategy::kSteps;
  o.eval_save.eval_steps = 1;
  o.eval_save.early_stopping_patience = 2;
  o.eval_save.early_stopping_threshold = 1e9;
  o.eval_save.save_strategy = Strategy::kSteps;
  o.eval_save.save_steps = 1;
  EXPECT_EQ(run_with(o).heard.steps.size(), 3u);
  const std::string model = bytes("decided/model.safetensors");
  for (const char* file : {"trainer_state.json", "model.safetensors"}) fs::remove(folder_ / "decided" / file);
  const Result again = run_with(o);
  EXPECT_EQ(again.outcome, TrainOutcome::kDone);
  EXPECT_EQ(again.heard.started_at, 3);
  EXPECT_TRUE(again.heard.steps.empty());
  EXPECT_TRUE(bytes("decided/model.safetensors") == model);
}

TEST_F(TrainLoopTest, TheFinalModelIsTheBestOneWhereThatIsAskedFor) {
  TrainOptions o = in("best");
  o.optimizer.learning_rate = 0.05;  // too high: it gets worse again
  o.eval_save.eval_strategy = Strategy::kSteps;
  o.eval_save.eval_steps = 1;
  o.eval_save.save_strategy = Strategy::kBest;
  o.eval_save.load_best_model_at_end = true;
  run_with(o);
  const int64_t best = state("best")["best_global_step"];
  ASSERT_GT(best, 0);
  ASSERT_LT(best, 10) << "the test needs a run whose best model is not its last";
  EXPECT_TRUE(bytes("best/model.safetensors") == bytes("best/checkpoint-" + std::to_string(best) + "/model.safetensors"));
  EXPECT_EQ(checkpoints("best").back(), best) << "saved whenever it improves, and never else";
  o.output_dir = folder_ / "last";
  o.eval_save.load_best_model_at_end = false;
  run_with(o);
  EXPECT_FALSE(bytes("last/model.safetensors") == bytes("best/model.safetensors"));
}

// The best model of a run is not its last one, and something happens to it before the end.
class LostBest : public TrainLoopTest {
 protected:
  void SetUp() override {
    run_with(with_best("whole"));
    best_ = state("whole")["best_global_step"];
    ASSERT_GT(best_, 1);
    ASSERT_LT(best_, 9);
    const nlohmann::json whole = state("whole");
    for (const auto& record : whole["log_history"])
      if (record.contains("eval_loss")) loss_[record["step"]] = record["eval_loss"];
    ASSERT_EQ(loss_.size(), 10u);
  }
  TrainOptions with_best(const std::string& name) const {
    TrainOptions o = in(name);
    o.optimizer.learning_rate = 0.05;  // too high: it gets worse again
    o.eval_save.eval_strategy = Strategy::kSteps;
    o.eval_save.eval_steps = 1;
    o.eval_save.save_strategy = Strategy::kSteps;
    o.eval_save.save_steps = 1;
    o.eval_save.load_best_model_at_end = true;
    return o;
  }
  std::string checkpoint_of(const std::string& run, int64_t step) const { return run + "/checkpoint-" + std::to_string(step); }
  // The step of the lowest loss among those that `is_left` says.
  template <class IsLeft>
  int64_t next_best(IsLeft is_left) const {
    int64_t found = 0;
    for (const auto& [step, loss] : loss_)
      if (is_left(step) && (found == 0 || loss < loss_.at(found))) found = step;
    return found;
  }
  void expect_final_model_of(const std::string& run, int64_t step) {
    EXPECT_TRUE(bytes(run + "/model.safetensors") == bytes(checkpoint_of("whole", step) + "/model.safetensors")) << step;
    EXPECT_TRUE(state(run)["berth"]["complete"]);
    EXPECT_EQ(state(run)["best_global_step"], best_) << "what was measured stays";
  }

  int64_t best_ = 0;
  std::map<int64_t, double> loss_;
};

TEST_F(LostBest, OneThatCouldNotBeSavedIsNotTheEndOfTheRun) {
  ::setenv("BERTH_FAILPOINT", ("before-rename@" + std::to_string(best_) + ":ENOSPC").c_str(), 1);
  const Result result = run_with(with_best("full_disk"));
  ::unsetenv("BERTH_FAILPOINT");
  EXPECT_EQ(result.outcome, TrainOutcome::kDone);
  EXPECT_FALSE(fs::exists(folder_ / checkpoint_of("full_disk", best_)));
  expect_final_model_of("full_disk", next_best([&](int64_t step) { return step != best_; }));
}

TEST_F(LostBest, OneThatIsDamagedOrGoneIsReplacedByTheBestThatIsLeft) {
  for (const char* what : {"damaged", "gone"}) {
    EXPECT_EQ(run_with(with_best(what), 9).outcome, TrainOutcome::kStoppedEarly);
    const fs::path lost = folder_ / checkpoint_of(what, best_);
    if (what == std::string("gone")) {
      fs::remove_all(lost);
    } else {
      test::flip_bit(lost / "model.safetensors", 2000, 1);
    }
    EXPECT_EQ(run_with(with_best(what)).outcome, TrainOutcome::kDone);
    expect_final_model_of(what, next_best([&](int64_t step) { return step != best_; }));
  }
}

// Evaluated after steps 4 and 8; gone on from 9.
TEST_F(LostBest, WithoutAnyOtherTheLastModelIsTaken) {
  TrainOptions o = with_best("alone");
  o.eval_save.eval_steps = 4;
  EXPECT_EQ(run_with(o, 9).outcome, TrainOutcome::kStoppedEarly);
  for (int64_t step = 1; step < 9; ++step) fs::remove_all(folder_ / checkpoint_of("alone", step));
  EXPECT_EQ(run_with(o).outcome, TrainOutcome::kDone);
  EXPECT_TRUE(bytes("alone/model.safetensors") == bytes(checkpoint_of("whole", 10) + "/model.safetensors"));
}

TEST_F(LostBest, InAnotherFolderItIsStillFound) {
  EXPECT_EQ(run_with(with_best("first"), 9).outcome, TrainOutcome::kStoppedEarly);
  TrainOptions o = with_best("second");
  o.resume = parse_resume((folder_ / checkpoint_of("first", 9)).string());
  EXPECT_EQ(run_with(o).outcome, TrainOutcome::kDone);
  expect_final_model_of("second", best_);
  EXPECT_EQ(state("second")["best_model_checkpoint"], (folder_ / checkpoint_of("first", best_)).string());
}

TEST_F(TrainLoopTest, SavesBySteps) {
  TrainOptions o = in("steps");
  o.eval_save.save_strategy = Strategy::kSteps;
  o.eval_save.save_steps = 4;
  run_with(o);
  EXPECT_EQ(checkpoints("steps"), (std::vector<int64_t>{4, 8, 10}));
  o.output_dir = folder_ / "rotated";
  o.eval_save.save_total_limit = 1;
  run_with(o);
  EXPECT_EQ(checkpoints("rotated"), (std::vector<int64_t>{10}));
}

TEST_F(TrainLoopTest, WhatAStopLeavesGoesWithTheNextCheckpoint) {
  run_with(in("whole"));
  for (int64_t stops = 1; stops <= 6; ++stops) {
    EXPECT_EQ(run_with(in("stopped"), 1).outcome, TrainOutcome::kStoppedEarly);
    EXPECT_EQ(checkpoints("stopped"), std::vector<int64_t>{stops});
  }
  run_with(in("stopped"));
  EXPECT_EQ(checkpoints("stopped"), std::vector<int64_t>{}) << "as if it had not been stopped";
  EXPECT_TRUE(bytes("stopped/model.safetensors") == bytes("whole/model.safetensors"));

  TrainOptions o = in("saving");
  o.eval_save.save_strategy = Strategy::kSteps;
  o.eval_save.save_steps = o.logging.logging_steps = 4;
  const struct {
    int64_t steps;
    std::vector<int64_t> left;
    int64_t told;  // that it was stopped since it logged
  } jobs[] = {{2, {2}, 1}, {2, {4}, 0}, {1, {4, 5}, 1}, {1, {4, 6}, 1}, {-1, {4, 8, 10}, 0}};
  for (const auto& [steps, left, told] : jobs) {
    EXPECT_EQ(run_with(o, steps).heard.stopped, told);
    EXPECT_EQ(checkpoints("saving"), left);
  }
}

TEST_F(TrainLoopTest, SavesBySecondsWhateverTheStrategy) {
  TrainOptions o = in("seconds");
  o.eval_save.save_seconds = 1e-9;
  run_with(o);
  EXPECT_EQ(checkpoints("seconds").size(), 10u);
}

// With such a learning rate the first update throws the weights out of fp32's reach; every later step is not finite.
TEST_F(TrainLoopTest, StepsThatAreNotFiniteStopTheRunOrAreSkippedAndCounted) {
  TrainOptions o = in("nan");
  o.optimizer.learning_rate = 1e38;
  o.lr_scheduler_type = ScheduleType::kConstant;
  const Outcome stopped = outcome_of([&] { run_with(o); });
  EXPECT_EQ(stopped.code, ExitCode::kDiverged);
  EXPECT_NE(stopped.message.find("step 2 is not finite"), std::string::npos) << stopped.message;
  o.output_dir = folder_ / "skipped";
  o.on_nan = OnNan::kSkip;
  const Outcome diverged = outcome_of([&] { run_with(o); });
  EXPECT_EQ(diverged.code, ExitCode::kDiverged) << "most of its steps were skipped";
  EXPECT_NE(diverged.message.find("; 4 of 5 steps were skipped: the run has diverged"), std::string::npos) << diverged.message;
  o.max_steps = 4;
  o.output_dir = folder_ / "few";
  const Result skipped = run_with(o);
  EXPECT_EQ(skipped.outcome, TrainOutcome::kDone);
  EXPECT_EQ(skipped.heard.skipped, 3);
  EXPECT_EQ(state("few")["berth"]["optimizer_steps"], 1);
}

TEST_F(TrainLoopTest, LogsWhereItIsToldTo) {
  TrainOptions o = in("quiet");
  o.logging.report_to = {.jsonl = false, .tensorboard = false};
  run_with(o);
  EXPECT_FALSE(fs::exists(folder_ / "quiet/metrics.jsonl"));
  EXPECT_FALSE(fs::exists(folder_ / "quiet/tensorboard"));
  EXPECT_TRUE(fs::exists(folder_ / "quiet/train_results.json"));
}

TEST_F(TrainLoopTest, AMetricThatThereIsNotIsAUsageError) {
  TrainOptions o = in("metric");
  o.eval_save.eval_strategy = Strategy::kEpoch;
  o.eval_save.metric_for_best_model = "bleu";
  const Outcome outcome = outcome_of([&] { run_with(o); });
  EXPECT_EQ(outcome.code, ExitCode::kUsage);
  EXPECT_NE(outcome.message.find("accuracy"), std::string::npos) << outcome.message;
}

}  // namespace
}  // namespace berth::train
