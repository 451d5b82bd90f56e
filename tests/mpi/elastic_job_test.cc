// A run that goes on with other ranks, or with another global batch.
#include <gtest/gtest.h>

#include "tests/support/run_results.h"
#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

class ElasticJob : public TinyJob {
 protected:
  // Its job of `ranks` ranks is told to stop after `steps` more steps (0: not told).
  static JobResult go_on(const std::string& run, const std::string& options, int ranks, int steps) {
    const Disturbance stop = at_failpoint("step@" + std::to_string(steps + 1) + ":TERM", 0, ranks - 1);
    return run_berth("train --model " + at("model") + " --data " + at("data.h5") + " --output-dir " + at(run) +
                         " --logging-steps 1 --learning-rate 1e-3 --warmup-steps 3 --weight-decay 0.01 --disable-tqdm " + options,
                     ranks, steps > 0 ? stop : Disturbance{});
  }
  // What the log says of each step or evaluation under this name.
  static std::map<int64_t, double> values(const std::string& run, const std::string& name) {
    std::map<int64_t, double> values;
    for (const auto& record : read_jsonl(at(run) + "/metrics.jsonl"))
      if (record.contains(name)) values[record["step"]] = record[name];
    return values;
  }
};

// 4, 2, 1, 3 and 8 ranks in one run, with dropout: they take the same samples at the same learning rates, with losses that are equal to
// rounding and metrics that are equal. The first job gives the global batch of 12, all keep it.
TEST_F(ElasticJob, AnyRanksGoOn) {
  const std::string options = "--max-steps 22 --eval-strategy steps --eval-steps 5 --save-steps 50 ";
  ASSERT_EQ(go_on("whole", options + "--global-batch-size 12", 2, 0).exit_code, 0);
  int done = 0;
  for (const int ranks : {4, 2, 1, 3, 8}) {
    const int steps = ranks == 8 ? 0 : 5;
    const JobResult job = go_on("elastic", options + "--per-device-train-batch-size 3", ranks, steps);
    ASSERT_EQ(job.exit_code, steps > 0 ? 75 : 0) << job.err;
    EXPECT_EQ(job.err.find("resumed with other ranks") != std::string::npos, done > 0) << job.err;
    done += steps;
    EXPECT_EQ(checkpoint_steps(at("elastic")).back(), steps > 0 ? done : 22);
  }
  ASSERT_EQ(losses(at("whole")).size(), 22u);
  expect_near(losses(at("elastic")), losses(at("whole")), "4, 2, 1, 3, 8 ranks");
  expect_near(values("elastic", "eval_loss"), values("whole", "eval_loss"), "4, 2, 1, 3, 8 ranks");
  for (const char* exact : {"learning_rate", "epoch", "eval_accuracy", "eval_f1", "eval_precision", "eval_recall",
                            "eval_matthews_correlation", "eval_roc_auc"})
    EXPECT_EQ(values("elastic", exact), values("whole", exact)) << exact;
}

TEST_F(ElasticJob, MoreRanksThanSamplesAreRefused) {
  ASSERT_EQ(go_on("small", "--global-batch-size 3 --max-steps 6", 2, 2).exit_code, 75);
  const JobResult refused = go_on("small", "--global-batch-size 3 --max-steps 6", 4, 0);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("there are 4 ranks, but the global batch has only 3 samples: start 1 to 3 ranks, or raise "
                             "--global-batch-size"),
            std::string::npos)
      << refused.err;
  EXPECT_EQ(go_on("small", "--global-batch-size 3 --max-steps 6", 3, 0).exit_code, 0);
}

// Epochs of 11 steps; after the sixth step twice as many samples a step: the 53 that are left of the first epoch are three steps, the second
// epoch six.
TEST_F(ElasticJob, AnotherGlobalBatchTakesTheScheduleToItsEnd) {
  const std::string options = "--num-train-epochs 2 --save-strategy no ";
  ASSERT_EQ(go_on("batch12", options + "--global-batch-size 12", 2, 0).exit_code, 0);
  ASSERT_EQ(go_on("batch24", options + "--global-batch-size 12", 2, 6).exit_code, 75);
  const JobResult job = go_on("batch24", options + "--global-batch-size 24", 2, 0);
  ASSERT_EQ(job.exit_code, 0) << job.err;
  EXPECT_NE(
      job.err.find(
          "--global-batch-size: 24 samples a step from step 6 on, 12 until there: 15 steps in all instead of 22; the 9 that are "
          "left take the learning rate evenly to the end of its schedule"),
      std::string::npos)
      << job.err;
  const auto before = values("batch12", "learning_rate"), now = values("batch24", "learning_rate");
  ASSERT_EQ(now.size(), 15u);
  for (int64_t step = 1; step <= 7; ++step) EXPECT_EQ(now.at(step), before.at(step)) << step;
  for (int64_t step = 8; step <= 15; ++step)
    EXPECT_NEAR(now.at(step), before.at(7) * static_cast<double>(16 - step) / 9, 1e-12) << step;
  EXPECT_EQ(values("batch24", "epoch").at(15), 2);
}

}  // namespace
}  // namespace berth::test
