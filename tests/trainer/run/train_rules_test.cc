// Runs whose learning rate follows their evaluations, that evaluate before they begin, whose checkpoints hold the model alone, and whose
// model is an average: whole, and stopped and gone on.
#include <gtest/gtest.h>

#include "tests/trainer/checkpoint/tensor_test_util.h"
#include "tests/trainer/run/whole_run.h"

namespace berth::train {
namespace {

class TrainRulesTest : public TrainLoopTest {
 protected:
  TrainOptions evaluating(const std::string& name) const {
    TrainOptions o = in(name);
    o.eval_save.eval_strategy = Strategy::kSteps;
    o.eval_save.eval_steps = 2;
    return o;
  }
  // By step: the values of `key` in the records that have it.
  std::map<int64_t, double> logged(const std::string& run, const std::string& key) const {
    std::map<int64_t, double> values;
    for (const auto& record : test::read_jsonl(folder_ / run / "metrics.jsonl"))
      if (record.contains(key)) values[record["step"]] = record[key];
    return values;
  }
};

// The first evaluation, after step 2, is the best one; each later one lowers the learning rate to a tenth, of which the third is too small a
// change to be one.
TEST_F(TrainRulesTest, EvaluationsLowerTheLearningRateAlsoAfterAResume) {
  const auto plateau = [&](const std::string& name) {
    TrainOptions o = evaluating(name);
    o.lr_scheduler_type = ScheduleType::kReduceLrOnPlateau;
    o.lr_scheduler_kwargs = {{"patience", 0}, {"threshold_mode", "abs"}, {"threshold", 1e9}, {"eps", 1e-5}};
    o.optimizer.head_learning_rate = 1e-2;
    return o;
  };
  run_with(plateau("whole"));
  const auto rates = logged("whole", "learning_rate");
  for (const auto& [step, rate] : std::map<int64_t, double>{{1, 1e-3}, {4, 1e-3}, {5, 1e-4}, {6, 1e-4}, {7, 1e-5}, {10, 1e-5}})
    EXPECT_NEAR(rates.at(step), rate, 1e-12) << step;
  EXPECT_EQ(state("whole")["berth"]["plateau"]["reductions"], 4);
  for (int64_t step : {2, 5, 6}) {
    const std::string name = "stopped" + std::to_string(step);
    EXPECT_EQ(run_with(plateau(name), step).outcome, TrainOutcome::kStoppedEarly);
    run_with(plateau(name));
    EXPECT_TRUE(bytes(name + "/model.safetensors") == bytes("whole/model.safetensors")) << step;
    EXPECT_EQ(logged(name, "learning_rate"), rates);
  }
  TrainOptions o = plateau("blind");
  o.eval_save.eval_strategy = Strategy::kNo;
  EXPECT_NE(outcome_of([&] { o.validate(); }).message.find("reduce_lr_on_plateau needs evaluations"), std::string::npos);
}

TEST_F(TrainRulesTest, AScheduleKeepsItsArguments) {
  TrainOptions o = in("kept");
  o.lr_scheduler_type = ScheduleType::kCosineWithMinLr;
  o.lr_scheduler_kwargs = {{"min_lr_rate", 0.25}};
  run_with(o, 5);
  TrainOptions other = o;
  other.lr_scheduler_kwargs = {{"min_lr_rate", 0.5}};
  EXPECT_NE(outcome_of([&] {
              run_with(other);
            }).message.find("--lr-scheduler-kwargs {\"min_lr_rate\":0.25}, now {\"min_lr_rate\":0.5}"),
            std::string::npos);
  run_with(o);
  EXPECT_NEAR(logged("kept", "learning_rate").at(10), 1e-3 * (0.25 + 0.75 * 0.5 * (1 + std::cos(0.9 * 3.14159265358979))), 1e-9);
}

// Stopped in that evaluation, it is made when the run goes on; when it was made, it is not made again.
TEST_F(TrainRulesTest, EvaluatesBeforeTheFirstStepOnce) {
  const auto on_start = [&](const std::string& name) {
    TrainOptions o = evaluating(name);
    o.eval_save.eval_steps = 5;
    o.eval_save.eval_on_start = true;
    return o;
  };
  EXPECT_EQ(run_with(on_start("whole")).heard.evaluations, (std::vector<int64_t>{0, 5, 10}));
  EXPECT_NE(state("whole")["best_global_step"], 0) << "the model before training is not the best of the run";
  EXPECT_EQ(run_with(on_start("stopped"), 0).heard.evaluations.size(), 0u);
  EXPECT_EQ(run_with(on_start("stopped"), 3).heard.evaluations, (std::vector<int64_t>{0}));
  EXPECT_EQ(run_with(on_start("stopped")).heard.evaluations, (std::vector<int64_t>{5, 10}));
  EXPECT_EQ(logged("stopped", "eval_loss"), logged("whole", "eval_loss"));
  EXPECT_TRUE(bytes("stopped/model.safetensors") == bytes("whole/model.safetensors"));
  EXPECT_NE(bytes("whole/training_results.md").find("| No log "), std::string::npos);

  TrainOptions alone = on_start("alone");
  alone.eval_save.eval_strategy = Strategy::kNo;
  EXPECT_EQ(run_with(alone).heard.evaluations, (std::vector<int64_t>{0}));
}

TEST_F(TrainRulesTest, CheckpointsOfTheModelAloneAreNotGoneOnFrom) {
  TrainOptions o = evaluating("models");
  o.eval_save.save_strategy = Strategy::kSteps;
  o.eval_save.save_steps = 2;
  o.eval_save.save_only_model = true;
  o.eval_save.load_best_model_at_end = true;
  TrainOptions whole = o;
  whole.output_dir = folder_ / "whole";
  run_with(whole);
  const auto holds_optimizer = [&](int64_t step) {
    return fs::exists(folder_ / ("models/checkpoint-" + std::to_string(step)) / kOptimizerFile);
  };
  EXPECT_EQ(run_with(o, 5).outcome, TrainOutcome::kStoppedEarly);
  EXPECT_EQ(checkpoints("models"), (std::vector<int64_t>{2, 4, 5}));
  EXPECT_FALSE(holds_optimizer(2) || holds_optimizer(4));
  EXPECT_TRUE(holds_optimizer(5)) << "a job that was stopped can be gone on with";
  const fs::path of_stop = folder_ / "models/checkpoint-5";
  fs::copy(of_stop, folder_ / "five");
  EXPECT_EQ(run_with(o).heard.started_at, 5);
  EXPECT_EQ(checkpoints("models"), (std::vector<int64_t>{2, 4, 6, 8, 10}));
  EXPECT_FALSE(holds_optimizer(10));
  EXPECT_TRUE(bytes("models/model.safetensors") == bytes("whole/model.safetensors"));

  const auto killed = [&] {
    fs::remove(folder_ / "models/model.safetensors");
    fs::remove(folder_ / "models/trainer_state.json");
  };
  killed();
  fs::copy(folder_ / "five", of_stop);
  EXPECT_EQ(run_with(o, 2).heard.started_at, 5);
  EXPECT_TRUE(fs::exists(folder_ / "models/checkpoint-8.superseded"));
  run_with(o);
  EXPECT_FALSE(fs::exists(folder_ / "models/checkpoint-8.superseded")) << "the run that gave it up is complete";
  EXPECT_TRUE(bytes("models/model.safetensors") == bytes("whole/model.safetensors"));
  killed();
  EXPECT_EQ(run_with(o).heard.started_at, 0);
  EXPECT_TRUE(bytes("models/model.safetensors") == bytes("whole/model.safetensors"));

  TrainOptions named = in("named");
  named.resume = parse_resume((folder_ / "models/checkpoint-4").string());
  const Outcome refused = outcome_of([&] { run_with(named); });
  EXPECT_EQ(refused.code, ExitCode::kUsage);
  EXPECT_NE(refused.message.find("checkpoint-4: holds the model alone (--save-only-model)"), std::string::npos)
      << refused.message;
}

// Beside a run without averages, whose weights are known after each step.
class AveragedRun : public TrainRulesTest {
 protected:
  static constexpr double kDecay = 0.75;

  TrainOptions with_saves(const std::string& name, double ema_decay) const {
    TrainOptions o = evaluating(name);
    o.eval_save.save_strategy = Strategy::kSteps;
    o.eval_save.save_steps = 1;
    o.optimizer.ema_decay = ema_decay;
    return o;
  }
  std::vector<float> values(const std::string& file, const std::string& name) const {
    return read_values(parse_safetensors(open_bytes(folder_ / file)), name);
  }
  static std::string of_checkpoint(const std::string& run, int64_t step, const char* file) {
    return run + "/checkpoint-" + std::to_string(step) + "/" + file;
  }
};

TEST_F(AveragedRun, TheModelIsTheAverageAndTrainingGoesOnWithTheWeights) {
  constexpr const char *kModel = "model.safetensors", *kOptimizer = "optimizer.safetensors";
  run_with(with_saves("plain", 0));
  TrainOptions o = with_saves("averaged", kDecay);
  o.eval_save.eval_on_start = true;
  run_with(o);
  for (const std::string name : {"classifier.bias", "bert.embeddings.word_embeddings.weight"}) {
    std::vector<float> average;
    for (int64_t step = 1; step <= 10; ++step) {
      const std::vector<float> weights = values(of_checkpoint("plain", step, kModel), name);
      EXPECT_EQ(values(of_checkpoint("averaged", step, kOptimizer), "weight." + name), weights) << step;
      const std::vector<float> saved = values(of_checkpoint("averaged", step, kModel), name);
      for (size_t i = 0; i < average.size(); ++i) {
        average[i] += static_cast<float>(1 - kDecay) * (weights[i] - average[i]);
        ASSERT_NEAR(saved[i], average[i], 1e-6) << name << " step " << step;
      }
      average = saved;
    }
  }
  EXPECT_TRUE(bytes("averaged/model.safetensors") == bytes(of_checkpoint("averaged", 10, kModel)));
  EXPECT_EQ(logged("averaged", "loss"), logged("plain", "loss"));

  TrainOptions again = in("again");  // what was evaluated is what was saved
  again.model = (folder_ / "averaged").string();
  again.eval_save.eval_on_start = true;
  run_with(again);
  EXPECT_EQ(logged("again", "eval_loss").at(0), logged("averaged", "eval_loss").at(10));
  EXPECT_NE(logged("plain", "eval_loss").at(10), logged("averaged", "eval_loss").at(10));
  EXPECT_EQ(values(of_checkpoint("averaged", 1, kOptimizer), "weight.classifier.bias").size(), 2u);
}

TEST_F(AveragedRun, GoesOnToTheSameBits) {
  run_with(with_saves("whole", kDecay));
  for (int64_t step : {0, 3, 6}) {
    const std::string name = "stopped" + std::to_string(step);
    run_with(with_saves(name, kDecay), step);
    run_with(with_saves(name, kDecay));
    for (const char* file : {"model.safetensors", "optimizer.safetensors"})
      EXPECT_TRUE(bytes(of_checkpoint(name, 10, file)) == bytes(of_checkpoint("whole", 10, file))) << step << file;
    EXPECT_EQ(logged(name, "eval_loss"), logged("whole", "eval_loss"));
  }
}

// Where that is allowed, averages may begin, and end, at a checkpoint.
TEST_F(AveragedRun, AveragesAreNotBegunUnasked) {
  run_with(with_saves("begun", 0), 5);
  TrainOptions o = with_saves("begun", kDecay);
  EXPECT_NE(outcome_of([&] { run_with(o); }).message.find("--ema-decay 0.0, now 0.75"), std::string::npos);
  o.allow_change = {"ema_decay"};
  run_with(o, 3);
  o.optimizer.ema_decay = 0;
  EXPECT_EQ(run_with(o).outcome, TrainOutcome::kDone);
}

}  // namespace
}  // namespace berth::train
