#include "trainer/comm/running_time.h"

#include <gtest/gtest.h>

namespace berth::comm {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

TEST(RunningTime, LeavesOutTheTimeInWhichTheProcessWasStopped) {
  const RunningTime::Clock::time_point start{};
  RunningTime time(start);
  for (int i = 1; i <= 20; ++i) time.look(start + i * milliseconds(100));
  EXPECT_EQ(time.elapsed(), milliseconds(2000));
  EXPECT_EQ(time.look(start + milliseconds(2000) + hours(3)), milliseconds(2000) + RunningTime::kMostBetweenLooks);
  EXPECT_EQ(time.look(start + milliseconds(2100) + hours(3)), milliseconds(2100) + RunningTime::kMostBetweenLooks);
}

}  // namespace
}  // namespace berth::comm
