// The simulator against sums that can be done by hand.
#include <gtest/gtest.h>

#include "data/check.h"
#include "trainer/scale/predict.h"

namespace berth::scale {
namespace {

constexpr double kBytes = 25e6;
constexpr Link kFar{1e-5, 1e9}, kNear{2e-6, 1e10};  // no number of the simulator's is finer than 1e-9 s
constexpr double kSum = 5e9;                        // bytes a second

Case one_bucket(AllReduce how, int ranks, int ranks_per_node, double ready = 0.2) {
  return {
      .step =
          {.before = 0.1, .backward = 0.2, .after = 0.05, .buckets = {{ready, kBytes}}, .control_bytes = 0, .sums_loss = false},
      .platform = {.name = "test",
                   .description = "",
                   .all_reduce = how,
                   .ranks_per_node = ranks_per_node,
                   .between = kFar,
                   .within = kNear,
                   .sum_bandwidth = kSum,
                   .sum_latency = 0},
      .ranks = ranks};
}

// Less what a rank alone takes, and the control data: a message of a byte or none up and down the tree of ranks.
double exposed(const Case& one) {
  Case nothing = one;
  nothing.step.buckets.clear();
  return simulated(one, find_simulator()) - simulated(nothing, find_simulator());
}

constexpr double kTolerance = 1e-7;

TEST(Simulate, RingTakesItsBytesAndLatencies) {
  for (const int ranks : {2, 4, 7, 512}) {
    const int steps = 2 * (ranks - 1);
    EXPECT_NEAR(exposed(one_bucket(AllReduce::kRing, ranks, 1)), steps * (kFar.latency + kBytes / ranks / kFar.bandwidth),
                kTolerance)
        << ranks;
    EXPECT_NEAR(exposed(one_bucket(AllReduce::kRing, ranks, ranks)), steps * (kNear.latency + kBytes / ranks / kNear.bandwidth),
                kTolerance)
        << ranks;
  }
}

// The adapter of a node carries what one rank sends; of the latencies on a piece's ways around, as many are between nodes as there are nodes.
TEST(Simulate, RingOverNodesIsAsFastAsItsSlowestLink) {
  const double bytes = 2.0 * 15 / 16 * kBytes;
  EXPECT_NEAR(exposed(one_bucket(AllReduce::kRing, 16, 4)), 8 * kFar.latency + 22 * kNear.latency + bytes / kFar.bandwidth,
              kTolerance);
  Case fast = one_bucket(AllReduce::kRing, 16, 4);
  fast.platform.between.bandwidth = 1e12;
  EXPECT_NEAR(exposed(fast), 8 * kFar.latency + 22 * kNear.latency + bytes / kNear.bandwidth, kTolerance);
}

TEST(Simulate, TwiceTheBandwidthHalvesTheTime) {
  Case one = one_bucket(AllReduce::kRing, 8, 1);
  one.platform.between.latency = one.platform.within.latency = 0;
  const double before = exposed(one);
  one.platform.between.bandwidth *= 2;
  EXPECT_NEAR(exposed(one), before / 2, kTolerance);
}

// Up and down the tree all bytes pass each level one after the other, and are added on the way up.
TEST(Simulate, TreeBetweenNodes) {
  for (const auto& [nodes, levels, bytes] : {std::tuple(3, 2, kBytes), std::tuple(64, 6, 65535.0)}) {
    const double message = kFar.latency + bytes / kFar.bandwidth;
    Case one = one_bucket(AllReduce::kTwoLevels, nodes, 1);
    one.step.buckets[0].bytes = bytes;
    one.platform.within.bandwidth = 1e6;  // is none of their way
    EXPECT_NEAR(exposed(one), levels * (2 * message + bytes / kSum), kTolerance) << nodes;
  }
}

TEST(Simulate, RingBetweenTwoNodesOrFourAndMore) {
  for (const int nodes : {2, 4, 64}) {
    const double expected =
        2 * (nodes - 1) * (kFar.latency + kBytes / nodes / kFar.bandwidth) + kBytes * (nodes - 1) / nodes / kSum;
    EXPECT_NEAR(exposed(one_bucket(AllReduce::kTwoLevels, nodes, 1)), expected, kTolerance) << nodes;
  }
}

// The norm's numbers, up and down the tree of four ranks and, if `far`, of two such nodes.
double norm(bool far) {
  const double bytes = kBytes / (4096 * 4) * 8;
  return 4 * bytes / kNear.bandwidth + 2 * bytes / kSum + (far ? 2 * bytes / kFar.bandwidth + bytes / kSum : 0);
}

TEST(Simulate, TwoLevelsSumTravelAndCopy) {
  const double message = kFar.latency + kBytes / 2 / kFar.bandwidth;
  const double sums = kBytes / kSum + kBytes / 2 / kSum, copy = kBytes / 4 / kSum;
  EXPECT_NEAR(exposed(one_bucket(AllReduce::kTwoLevels, 8, 4)), sums + 2 * message + copy + norm(true), kTolerance);
  // The last node has a rank less, which changes nothing.
  EXPECT_NEAR(exposed(one_bucket(AllReduce::kTwoLevels, 7, 4)), exposed(one_bucket(AllReduce::kTwoLevels, 8, 4)), kTolerance);
}

TEST(Simulate, OverlapHidesWhatBackwardIsLongerThan) {
  const double takes = exposed(one_bucket(AllReduce::kRing, 4, 1));
  EXPECT_GT(takes, 0.03);
  EXPECT_NEAR(exposed(one_bucket(AllReduce::kRing, 4, 1, 0.2 - takes - 0.01)), 0, kTolerance);
  EXPECT_NEAR(exposed(one_bucket(AllReduce::kRing, 4, 1, 0.2 - takes + 0.01)), 0.01, kTolerance);
}

// What sums in shared memory is the core that computes: it hides nothing, whenever it sums.
TEST(Simulate, SumsTakeTheCoreFromBackward) {
  for (const double ready : {0.0, 0.1, 0.2})
    EXPECT_NEAR(exposed(one_bucket(AllReduce::kTwoLevels, 4, 4, ready)), kBytes / kSum + norm(false), kTolerance) << ready;
}

TEST(Simulate, BucketsGoOneAfterTheOtherInTheirOrder) {
  Case one = one_bucket(AllReduce::kRing, 4, 1);
  const double takes = exposed(one);
  one.step.buckets = {{0.2, kBytes}, {0.0, kBytes}};  // the second waits for the first
  EXPECT_NEAR(exposed(one), 2 * takes, kTolerance);
  one.step.buckets = {{0.0, kBytes}, {0.2, kBytes}};
  EXPECT_NEAR(exposed(one), takes, kTolerance);
}

TEST(Simulate, ControlDataAndLossGoUpAndDownTheTreeOfRanks) {
  Case one = one_bucket(AllReduce::kRing, 8, 1);
  one.step.buckets.clear();
  const double without = simulated(one, find_simulator());
  one.step.control_bytes = 1e6;
  one.step.sums_loss = true;
  EXPECT_NEAR(simulated(one, find_simulator()) - without, 6 * (1e6 / kFar.bandwidth + kFar.latency + 8 / kFar.bandwidth),
              kTolerance);
}

TEST(Simulate, OneRankCommunicatesNothing) {
  EXPECT_NEAR(simulated(one_bucket(AllReduce::kTwoLevels, 1, 8), find_simulator()), 0.35, kTolerance);
}

TEST(Simulate, SaysWhatIsWrongWithACase) {
  Case one = one_bucket(AllReduce::kRing, 2, 1);
  one.platform.ranks_per_node = 0;
  EXPECT_THROW(simulated(one, find_simulator()), Error);
}

}  // namespace
}  // namespace berth::scale
