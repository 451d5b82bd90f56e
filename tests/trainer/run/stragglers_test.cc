#include "trainer/run/stragglers.h"

#include <gtest/gtest.h>

#include <random>

namespace berth::train {
namespace {

using Lines = std::vector<std::string>;

// Parts of as many tokens each.
std::vector<OwnPart> even(const std::vector<double>& seconds) {
  std::vector<OwnPart> parts;
  for (const double own : seconds) parts.push_back({own, 100});
  return parts;
}

// What is told over so many windows of 20 steps of a second, in each of which the ranks have these parts.
Lines windows(Stragglers& stragglers, int count, const std::vector<OwnPart>& parts) {
  Lines told;
  for (int step = 0; step < count * Stragglers::kSteps; ++step)
    for (const std::string& line : stragglers.saw_step(parts, 1)) told.push_back(line);
  return told;
}

TEST(StragglersTest, TheSlowRankIsNamedOnceAndWhenItKeepsUpAgain) {
  Stragglers stragglers({"n1", "n1", "n7", "n7"});
  const std::vector<OwnPart> slow = even({0.66, 0.64, 0.65, 0.923}), equal = even({0.66, 0.64, 0.65, 0.65});
  EXPECT_EQ(windows(stragglers, 2, slow), Lines{}) << "may pass";
  EXPECT_EQ(windows(stragglers, 1, slow),
            Lines({"rank 3 (n7) takes 1.42 times as long as the median of the ranks; the others wait 27 % of the "
                   "time for it: check that machine's clock, cooling, core binding, and what else runs on it"}));
  EXPECT_EQ(windows(stragglers, 50, slow), Lines{}) << "told";
  EXPECT_EQ(windows(stragglers, 2, equal), Lines{});
  EXPECT_EQ(windows(stragglers, 2, slow), Lines{}) << "not for good";
  EXPECT_EQ(windows(stragglers, 3, equal), Lines({"rank 3 (n7) no longer keeps the others waiting"}));
  EXPECT_EQ(windows(stragglers, 3, slow).size(), 1u) << "again";
}

TEST(StragglersTest, TheRanksOfAHostAreALineAndHalfOfTheRanksMayBeSlow) {
  Stragglers stragglers({"a", "a", "b", "b"});
  const Lines told = windows(stragglers, 3, even({0.3, 0.3, 0.6, 0.9}));
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(told[0].starts_with("ranks 2, 3 (b) take up to 3.00 times as long")) << told[0];
  Stragglers two({"a", "b"});
  const Lines of_two = windows(two, 3, even({0.9, 0.4}));
  ASSERT_EQ(of_two.size(), 1u);
  EXPECT_TRUE(of_two[0].starts_with("rank 0 (a) takes 2.25 times as long")) << of_two[0];
}

TEST(StragglersTest, NothingIsSaidOfRanksThatAreEqualButForNoise) {
  Stragglers stragglers({"a", "a", "b", "b"});
  std::mt19937 random(1);
  std::exponential_distribution<double> noise(4);  // as much as half of the step, on average
  for (int step = 0; step < 20'000; ++step) {
    std::vector<double> own(4);
    for (double& seconds : own) seconds = 0.5 + noise(random);
    EXPECT_EQ(stragglers.saw_step(even(own), *std::max_element(own.begin(), own.end())), Lines{}) << step;
  }
}

TEST(StragglersTest, NothingIsSaidOfWhatCostsLittleOrSoonEnds) {
  Stragglers loader({"a", "b"});
  EXPECT_EQ(windows(loader, 10, even({0.05, 0.14})), Lines{}) << "2.8 times, but 9 % of the time: most goes to the sums";
  Stragglers turns({"a", "b"});
  for (int turn = 0; turn < 10; ++turn) {
    EXPECT_EQ(windows(turns, 2, even({0.5, 1})), Lines{});
    EXPECT_EQ(windows(turns, 2, even({1, 0.5})), Lines{});
  }
  Stragglers quick({"a", "b"});
  for (int step = 0; step < 1000; ++step) EXPECT_EQ(quick.saw_step(even({0.005, 0.01}), 0.01), Lines{}) << "10 s in all";
}

TEST(StragglersTest, MoreTokensAreNoSlowness) {
  Stragglers stragglers({"a", "b", "c"});
  EXPECT_EQ(windows(stragglers, 10, {{0.9, 300}, {0.6, 200}, {0.6, 200}}), Lines{});
  EXPECT_EQ(windows(stragglers, 10, {{0.9, 300}, {0.1, 0}, {0.3, 100}}), Lines{}) << "a rank without samples";
  EXPECT_EQ(windows(stragglers, 10, {{0.9, 200}, {0.6, 200}, {0.6, 200}}).size(), 1u);
}

TEST(StragglersTest, WaitingIsTheTimeLostAgainstEvenWork) {
  EXPECT_DOUBLE_EQ(wait_for_slowest(even({1, 1, 1, 3})), 1.5);
  EXPECT_DOUBLE_EQ(wait_for_slowest(even({2, 2})), 0);
  EXPECT_DOUBLE_EQ(wait_for_slowest(even({5})), 0);
  EXPECT_DOUBLE_EQ(wait_for_slowest({}), 0);
}

}  // namespace
}  // namespace berth::train
