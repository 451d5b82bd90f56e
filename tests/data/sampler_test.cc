#include "data/pipeline/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "data/check.h"

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

// 3 classes of 2, 40 and 958 samples; one sample has no class.
std::vector<int32_t> uneven_classes() {
  std::vector<int32_t> classes;
  for (int i = 0; i < 1001; ++i) classes.push_back(i == 500 ? -100 : i % 501 == 7 ? 5 : i % 25 == 3 ? 0 : 2);
  return classes;
}

TEST(BalancedDraws, EachClassAndEachOfItsSamplesIsAsLikely) {
  const std::vector<int32_t> classes = uneven_classes();
  std::map<int32_t, double> of_class, samples;
  for (const int32_t c : classes) ++samples[c];
  ASSERT_EQ(samples.size(), 4u);
  const BalancedDraws draws(classes, 42);
  constexpr int kEpochs = 300;
  std::vector<double> drawn(classes.size());
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch)
    for (int64_t i = 0; i < std::ssize(classes); ++i) ++drawn[static_cast<size_t>(draws(epoch, i))];
  EXPECT_EQ(drawn[500], 0);
  const double all = kEpochs * static_cast<double>(classes.size());
  std::map<int32_t, double> chi_square;
  for (size_t i = 0; i < classes.size(); ++i) {
    of_class[classes[i]] += drawn[i];
    const double expected = all / 3 / samples[classes[i]];
    if (classes[i] >= 0) chi_square[classes[i]] += (drawn[i] - expected) * (drawn[i] - expected) / expected;
  }
  for (const int32_t c : {0, 2, 5}) {
    EXPECT_NEAR(of_class[c], all / 3, 5 * std::sqrt(all * 2 / 9)) << c;
    EXPECT_NEAR(chi_square[c], samples[c], 5 * std::sqrt(2 * samples[c])) << c;
  }
}

// A step's samples follow from seed, epoch and place alone.
TEST(BalancedDraws, DoNotDependOnTheGlobalBatch) {
  const std::vector<int32_t> classes = uneven_classes();
  const BalancedDraws draws(classes, 7), other(classes, 8);
  const auto epoch_of = [&](int64_t global_batch, int64_t epoch, const BalancedDraws& from) {
    const Sampler sampler({.num_samples = std::ssize(classes), .global_batch = global_batch, .seed = 7});
    std::vector<int64_t> all;
    for (int64_t step = 0; step < sampler.steps_per_epoch(); ++step)
      for (int64_t sample : sampler.global_step(epoch * sampler.steps_per_epoch() + step, &from)) all.push_back(sample);
    return all;
  };
  const auto expected = epoch_of(1001, 1, draws);
  EXPECT_EQ(expected.size(), 1001u);
  for (const int64_t batch : {1, 10, 64}) EXPECT_EQ(epoch_of(batch, 1, draws), expected);
  EXPECT_NE(epoch_of(64, 2, draws), expected);
  EXPECT_NE(epoch_of(64, 1, other), expected);
  const Sampler later({.num_samples = 1001, .global_batch = 5, .seed = 7, .start = {.step = 3, .epoch = 1, .sample = 30}});
  EXPECT_EQ(later.global_step(3, &draws), std::vector<int64_t>(expected.begin() + 30, expected.begin() + 35));
}

TEST(BalancedDraws, WithoutLabelsThereIsNothingToDraw) {
  EXPECT_THROW(BalancedDraws(std::vector<int32_t>{-100, -100}, 1), Error);
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
