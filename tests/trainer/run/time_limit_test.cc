#include "trainer/run/time_limit.h"

#include <gtest/gtest.h>

#include "data/check.h"

namespace berth::train {
namespace {

TEST(TimeLimitTest, LeavesTimeForAStepAnEvaluationAndACheckpoint) {
  TimeLimit limit(1000, 100'000'000);  // two seconds on a slow disk
  for (int step = 0; step < 5; ++step) limit.saw_step(2);
  limit.saw_evaluation(10);
  EXPECT_FALSE(limit.reached(992.9, {}));
  EXPECT_TRUE(limit.reached(993.1, {})) << "1.5 * (2 + 2) + 1 seconds";
  EXPECT_TRUE(limit.reached(978.1, {.evaluation = true})) << "1.5 * (2 + 2 + 10) + 1 seconds";
  EXPECT_FALSE(limit.reached(977.9, {.evaluation = true}));
  limit.saw_save(20);
  EXPECT_TRUE(limit.reached(966.1, {})) << "1.5 * (2 + 20) + 1 seconds";
  EXPECT_TRUE(limit.reached(936.1, {.other_save = true})) << "1.5 * (2 + 2 * 20) + 1 seconds";
  EXPECT_FALSE(limit.reached(935.9, {.other_save = true}));
  for (int look = 0; look < 3; ++look) limit.saw_save(10);
  EXPECT_TRUE(limit.reached(969.1, {})) << "1.5 * (2 + 0.9 * 20) + 1 seconds: shared disks differ from save to save";
  EXPECT_FALSE(TimeLimit({}, 1 << 30).reached(1e9, {.evaluation = true}));
}

TEST(TimeLimitTest, ASlowStepIsRemembered) {
  TimeLimit limit(100, 0);
  limit.saw_step(10);
  limit.saw_step(1);
  EXPECT_TRUE(limit.reached(100 - 1.5 * 9, {})) << "nine tenths of it count for the next one";
  for (int step = 0; step < 50; ++step) limit.saw_step(1);
  EXPECT_FALSE(limit.reached(100 - 1.5 * 9, {}));
}

std::string forecast_of(double end, int64_t steps) {
  TimeLimit limit(end, 0);
  std::string told;
  for (int step = 1; step <= 40; ++step) {
    limit.saw_step(1);
    const std::string now = limit.forecast(10 + step, steps - step);
    EXPECT_TRUE(now.empty() || told.empty()) << "once";
    if (!now.empty()) told = concat("at ", step, ": ", now);
  }
  return told;
}

TEST(TimeLimitTest, SaysWhetherTheJobWillFinish) {
  EXPECT_EQ(forecast_of(1000, 500), "at 20: this job has the time to finish");
  // 1000 - 30 - 2.5 seconds are left at a second a step, and another job trains for 1000 - 11 - 2.5.
  EXPECT_EQ(
      forecast_of(1000, 1900),
      "at 20: this job has the time for about 967 of the 1880 steps that are left: about 1 more job of its length is needed");
  EXPECT_EQ(
      forecast_of(1000, 2900),
      "at 20: this job has the time for about 967 of the 2880 steps that are left: about 2 more jobs of its length are needed");
}

TEST(TimeLimitTest, ReadsDurations) {
  EXPECT_EQ(parse_duration("--max-time", "90"), 90);
  EXPECT_EQ(parse_duration("--max-time", "1.5"), 1.5);
  EXPECT_EQ(parse_duration("--max-time", "02:03"), 123);
  EXPECT_EQ(parse_duration("--max-time", "01:02:03"), 3723);
  EXPECT_EQ(parse_duration("--max-time", "2-01:02:03"), 2 * 86400 + 3723);
  for (const char* wrong : {"", "0", "-5", "1:2:3:4", "1-5", "1-02:03", "x", "1:", "1h", "1e300", "nan"})
    EXPECT_THROW(parse_duration("--max-time", wrong), Error) << wrong;
}

}  // namespace
}  // namespace berth::train
