#include "data/pipeline/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace berth::data {
namespace {

TEST(Permutation, IsABijectionForEverySmallSize) {
  for (int64_t n : {1, 2, 3, 5, 16, 17, 255, 1000, 4097}) {
    const Permutation permutation(n, 42, 0);
    std::set<int64_t> seen;
    for (int64_t i = 0; i < n; ++i) seen.insert(permutation(i));
    EXPECT_EQ(static_cast<int64_t>(seen.size()), n);
    EXPECT_EQ(*seen.begin(), 0);
    EXPECT_EQ(*seen.rbegin(), n - 1);
  }
}

TEST(Permutation, DependsOnSeedAndEpoch) {
  std::vector<int64_t> a, b, c;
  for (int64_t i = 0; i < 100; ++i) {
    a.push_back(Permutation(100, 1, 0)(i));
    b.push_back(Permutation(100, 1, 1)(i));
    c.push_back(Permutation(100, 2, 0)(i));
  }
  EXPECT_NE(a, b);
  EXPECT_NE(a, c);
}

TEST(Sampler, EachEpochHoldsEverySampleOnce) {
  const Sampler sampler({.num_samples = 103, .global_batch = 10, .seed = 7});
  ASSERT_EQ(sampler.steps_per_epoch(), 11);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> all;
    for (int64_t step = 0; step < 11; ++step)
      for (int64_t sample : sampler.global_step(epoch * 11 + step)) all.push_back(sample);
    std::sort(all.begin(), all.end());
    std::vector<int64_t> expected(103);
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(all, expected);
  }
  EXPECT_EQ(sampler.global_step(10).size(), 3u);
}

TEST(Deal, SharesAreEvenBalancedAndComplete) {
  std::vector<int64_t> samples;
  std::vector<int32_t> lengths;
  for (int i = 0; i < 33; ++i) {
    samples.push_back(1000 + i);
    lengths.push_back(3 + (i * 37) % 120);
  }
  for (int ranks : {1, 2, 3, 4, 8, 33, 40}) {
    const auto shares = deal(samples, lengths, ranks, 4, 256);
    ASSERT_EQ(static_cast<int>(shares.size()), ranks);
    std::multiset<int64_t> all;
    size_t least = 99, most = 0;
    for (const RankShare& share : shares) {
      size_t count = 0;
      for (const auto& micro : share) {
        EXPECT_LE(micro.size(), 4u);
        EXPECT_FALSE(micro.empty());
        int64_t tokens = 0;
        for (int64_t sample : micro) tokens += lengths[sample - 1000];
        EXPECT_LE(tokens, 256);
        count += micro.size();
        all.insert(micro.begin(), micro.end());
      }
      least = std::min(least, count);
      most = std::max(most, count);
    }
    EXPECT_LE(most - least, 1u);
    EXPECT_EQ(all, std::multiset<int64_t>(samples.begin(), samples.end()));
  }
}

TEST(EvaluationBatches, CoverEverySampleOnce) {
  const std::vector<int32_t> lengths{5, 9, 2, 9, 7};
  const auto batches = evaluation_batches(lengths, 2);
  EXPECT_EQ(batches, (std::vector<std::vector<int64_t>>{{1, 3}, {4, 0}, {2}}));
}

}  // namespace
}  // namespace berth::data
