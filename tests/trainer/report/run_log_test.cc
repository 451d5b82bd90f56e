#include "trainer/report/run_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/check.h"
#include "tests/support/temp_dir.h"
#include "trainer/report/closing_table.h"
#include "trainer/report/metrics_file.h"

namespace berth::train {
namespace {

class RunLogTest : public testing::Test {
 protected:
  std::filesystem::path file() const { return temporary_.path() / "metrics.jsonl"; }
  std::vector<std::unique_ptr<Sink>> sinks() const {
    std::vector<std::unique_ptr<Sink>> all;
    all.push_back(std::make_unique<MetricsFile>(file(), 0));
    return all;
  }

 private:
  test::TempDir temporary_;
};

StepReport step_at(int64_t step, double loss) {
  return {.step = step,
          .epoch = static_cast<double>(step) / 10,
          .loss = loss,
          .learning_rate = 1.0 / static_cast<double>(step),
          .grad_norm = 2 * loss,
          .tokens = 100 + step,
          .samples = 8,
          .seconds = 0.25,
          .flops = 1e9,
          .most_flops = 4e9,
          .memory = {.cpu = 1000 * step, .gpu = 100 * step}};
}

TEST(RunLog, TheClosingTableIsThatOfModelCards) {
  RunLog log({});
  log.eval({.step = 0, .epoch = 0, .metrics = {{"loss", 2.5, MetricKind::kLoss}, {"f1_micro", 0.123456, MetricKind::kScore}}});
  log.step(step_at(1, 0.70000001), true);
  log.step(step_at(2, 0.5), false);
  log.eval({.step = 2,
            .epoch = 1,
            .metrics = {{"loss", std::nan(""), MetricKind::kLoss},
                        {"f1_micro", 1, MetricKind::kScore},
                        {"runtime", 3, MetricKind::kSpeed},
                        {"steps_per_second", 1, MetricKind::kSpeed}}});
  log.finish();
  EXPECT_EQ(closing_table(log.log_history()),
            "| Training Loss | Epoch | Step | Validation Loss | F1 Micro |\n"
            "| :-----------: | :---: | :--: | :-------------: | :------: |\n"
            "| No log        | 0.0   | 0    | 2.5             | 0.1235   |\n"
            "| 0.7000        | 1.0   | 2    | nan             | 1.0      |\n");
  EXPECT_EQ(closing_table(nlohmann::ordered_json::array()), "");
}

TEST_F(RunLogTest, AStepThatOverflowedHasALossAndNoNorm) {
  RunLog log(sinks());
  log.step(step_at(1, 1.0), false);
  StepReport over = step_at(2, 2.0);
  over.grad_norm = std::numeric_limits<double>::infinity();
  over.overflowed = true;
  log.step(over, false);
  RunLog resumed({}, log.state(), log.log_history());
  EXPECT_EQ(resumed.state(), log.state());
  log.step(over, true);
  log.finish();
  const auto records = read_records(file());
  ASSERT_EQ(records.size(), 2u);
  EXPECT_DOUBLE_EQ(records[0]["loss"].get<double>(), 5.0 / 3);
  EXPECT_EQ(records[0]["grad_norm"], step_at(1, 1.0).grad_norm);
  EXPECT_EQ(records[0]["overflowed_steps"], 2);
  EXPECT_FALSE(records[0].contains("skipped_steps"));
  EXPECT_EQ(records[1]["train_overflowed_steps"], 2);
}

TEST_F(RunLogTest, AveragesOverTheIntervalAndLeavesSkippedStepsOut) {
  RunLog log(sinks());
  log.step(step_at(1, 1.0), false);
  StepReport bad = step_at(2, std::nan(""));
  bad.skipped = true;
  log.step(bad, false);
  log.step(step_at(3, 2.0), true);
  log.step(step_at(4, 5.0), false);
  log.finish();

  const auto records = read_records(file());
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0]["loss"], 1.5);
  EXPECT_EQ(records[0]["grad_norm"], 4.0);
  EXPECT_EQ(records[0]["skipped_steps"], 1.0);
  EXPECT_EQ(records[0]["tokens_per_second"], 408.0);
  EXPECT_EQ(records[1]["loss"], 5.0);
  EXPECT_FALSE(records[1].contains("skipped_steps"));
  EXPECT_EQ(records[2]["step"], 4);
  EXPECT_DOUBLE_EQ(records[2]["train_loss"].get<double>(), 8.0 / 3);
  EXPECT_EQ(records[2]["train_runtime"], 1.0);
  EXPECT_EQ(records[2]["train_samples_per_second"], 32.0);
}

TEST(RunLog, ResumedRunLogsTheSameAsOneThatNeverStopped) {
  const auto feed = [](RunLog& log, int64_t from, int64_t to) {
    for (int64_t step = from; step <= to; ++step) {
      log.step(step_at(step, 1.0 / static_cast<double>(step)), step % 4 == 0);
      if (step % 6 == 0) log.eval({.step = step, .epoch = 1.0, .metrics = {{"loss", 0.5, MetricKind::kLoss}}});
    }
  };
  RunLog whole({});
  feed(whole, 1, 15);
  whole.finish();

  RunLog first({});
  feed(first, 1, 7);
  const nlohmann::ordered_json state = first.state(), history = first.log_history();
  feed(first, 8, 9);  // lost: the job is killed here
  RunLog second({}, state, history);
  feed(second, 8, 15);
  second.finish();
  EXPECT_EQ(second.log_history(), whole.log_history());
  EXPECT_EQ(second.state(), whole.state());
  EXPECT_EQ(whole.log_history().back()["total_flos"], 15e9);
  EXPECT_EQ(whole.log_history().back()["train_mfu"], 0.25);
  EXPECT_EQ(whole.log_history().back()["train_mem_gpu_peak"], 1500);
  EXPECT_EQ(whole.log_history().size(), 4u + 2u + 1u);
}

// The peak of some GPU, or of an earlier berth's, is not known: there is no share of it.
TEST(RunLog, AShareOfAPeakThatIsNotKnownIsNotGiven) {
  StepReport unknown = step_at(1, 1.0);
  unknown.most_flops = std::nan("");
  RunLog first({});
  first.step(unknown, true);
  first.step(step_at(2, 1.0), false);
  nlohmann::ordered_json state = nlohmann::ordered_json::parse(first.state().dump());
  RunLog second({}, state, first.log_history());
  second.step(step_at(3, 1.0), true);
  second.finish();
  const auto& history = second.log_history();
  EXPECT_FALSE(history[0].contains("mfu"));
  EXPECT_EQ(history[1]["mfu"], 0.25);
  EXPECT_FALSE(history[2].contains("train_mfu"));
  EXPECT_EQ(history[2]["total_flos"], 3e9);

  for (const char* name : {"flops", "most_flops", "mem_cpu_peak", "mem_gpu_peak"}) state["total"].erase(name);
  RunLog of_an_earlier_berth({}, state);
  of_an_earlier_berth.finish({.cpu = 7}, "cpu");
  const auto summary = of_an_earlier_berth.log_history().back();
  EXPECT_FALSE(summary.contains("total_flos") || summary.contains("train_mfu"));
  EXPECT_EQ(summary["train_mem_cpu_peak"], 7);
  EXPECT_EQ(summary["train_device"], "cpu");
}

TEST(RunLog, ADamagedStateIsAnError) {
  using Json = nlohmann::ordered_json;
  for (const char* damaged : {R"("")", "[1]", "{}", R"({"interval": {}, "total": {}})"})
    EXPECT_THROW(RunLog({}, Json::parse(damaged)), Error) << damaged;
  const Json good = RunLog({}).state();
  EXPECT_NO_THROW(RunLog({}, good));
  EXPECT_THROW(RunLog({}, good, Json::object()), Error) << "a history that is no list";
}

}  // namespace
}  // namespace berth::train
