#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <stdexcept>

#include "data/pipeline/prefetcher.h"
#include "data/prepare/ordered.h"
#include "data/prepare/stratified_split.h"
#include "tests/data/dataset_file.h"

namespace berth::data {
namespace {

using namespace testing;

// Squares 0 … 999 with `threads` threads; throws where it is told to. Returns what was consumed.
std::vector<int> squares(int threads, int bad_product = -1, int bad_transform = -1, int bad_result = -1) {
  const auto fail_at = [](int at, int bad, const char* what) {
    if (at == bad) throw std::runtime_error(concat(what, " ", at));
  };
  std::vector<int> consumed;
  int produced = 0;
  std::atomic<int> alive{0};
  run_ordered<int>(
      threads,
      [&](int& item) {
        if (produced == 1000) return false;
        fail_at(produced, bad_product, "produce");
        item = produced++;
        EXPECT_LE(++alive, threads);
        return true;
      },
      [&](int& item) {
        fail_at(item, bad_transform, "transform");
        item *= item;
      },
      [&](int& item) {
        fail_at(item, bad_result, "consume");
        consumed.push_back(item);
        --alive;
      });
  return consumed;
}

TEST(Ordered, ConsumesInOrderWithAnyNumberOfThreads) {
  const std::vector<int> expected = squares(1);
  ASSERT_EQ(expected.size(), 1000u);
  EXPECT_EQ(expected[999], 999 * 999);
  for (int threads : {2, 3, 8}) EXPECT_EQ(squares(threads), expected);
}

TEST(Ordered, TheFirstErrorInTheOrderOfTheItemsWins) {
  const auto thrown = [](int threads, int product, int transform, int result) -> std::string {
    try {
      squares(threads, product, transform, result);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  for (int threads : {1, 2, 5}) {
    EXPECT_EQ(thrown(threads, 500, -1, -1), "produce 500");
    EXPECT_EQ(thrown(threads, 500, 499, -1), "transform 499");
    EXPECT_EQ(thrown(threads, 12, 11, 100), "consume 100");
    EXPECT_EQ(thrown(threads, 0, -1, -1), "produce 0");
    EXPECT_EQ(thrown(threads, -1, 999, -1), "transform 999");
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // whose own memory exceeds the limit
// In a child process with too little memory for the stacks of so many threads.
TEST(Ordered, WorksWithTheThreadsThatTheSystemGives) {
  const auto with_little_memory = [] {
    const rlimit most{rlim_t{300} << 20, rlim_t{300} << 20};
    ::_exit(::setrlimit(RLIMIT_AS, &most) == 0 && squares(1000) == squares(1) ? 0 : 1);
  };
  EXPECT_EXIT(with_little_memory(), ::testing::ExitedWithCode(0), "");
}
#endif

TEST(StratifiedSplit, GivesEachLabelItsShareAndIsDeterministic) {
  const struct {
    LabelCounts counts;
    double fraction;
    int64_t validation;
  } cases[] = {
      {{{"a", 80}, {"b", 20}}, .2, 20},    {{{"a", 7}, {"b", 3}}, .2, 2}, {{{"a", 33}, {"b", 33}, {"c", 34}}, .1, 10},
      {{{"a", 1}, {"b", 9}}, .5, 5},       {{{"", 1000}}, .333, 333},     {{{"a", 5}, {"b", 5}}, 0, 0},
      {{{"a", 100}, {"rare", 2}}, .2, 20},
  };
  for (const auto& [counts, fraction, validation] : cases) {
    StratifiedSplit split(counts, fraction, 42), again(counts, fraction, 42), other(counts, fraction, 43);
    int64_t total = 0, differ = 0;
    for (const auto& [label, count] : counts) {
      int64_t taken = 0;
      for (int64_t row = 0; row < count; ++row) {
        const bool mine = split.is_validation(label);
        EXPECT_EQ(again.is_validation(label), mine);
        differ += other.is_validation(label) != mine;
        taken += mine;
      }
      EXPECT_LE(std::abs(static_cast<double>(taken) - fraction * static_cast<double>(count)), 1.) << label;
      EXPECT_LT(taken, count);
      total += taken;
    }
    EXPECT_EQ(total, validation);
    EXPECT_EQ(differ > 0, validation > 0) << "another seed";
  }
}

TEST(StratifiedSplit, NoticesAFileThatChanged) {
  StratifiedSplit split({{"a", 2}}, .5, 42);
  split.is_validation("a");
  split.is_validation("a");
  EXPECT_NE(error_of([&] { split.is_validation("a"); }), "");
  EXPECT_NE(error_of([&] { split.is_validation("b"); }), "");
}

class PrefetcherTest : public ::testing::Test {
 protected:
  PrefetcherTest() {
    write_dataset(folder_ / "data.h5", TaskKind::kSequenceClassification, 100);
    split_ = Dataset::open(folder_ / "data.h5")->split("train");
  }
  // Ten steps of two micro-batches: 10k … 10k + 3 and 10k + 4 … 10k + 9.
  static std::optional<RankShare> plan(int64_t step) {
    if (step == 10) return std::nullopt;
    RankShare share(2);
    for (int64_t i = 0; i < 10; ++i) share[i < 4 ? 0 : 1].push_back(10 * step + i);
    return share;
  }
  // What the prefetchers of these tests make: the step's number and its micro-batches.
  using Made = std::pair<int64_t, std::vector<Batch>>;
  std::function<std::optional<Made>(int64_t)> reading(const std::function<std::optional<RankShare>(int64_t)>& shares) const {
    return [this, shares](int64_t step) -> std::optional<Made> {
      const std::optional<RankShare> share = shares(step);
      if (!share) return std::nullopt;
      return Made{step, read_batches(*split_, *share)};
    };
  }
  TempDir folder_;
  std::unique_ptr<Split> split_;
};

TEST_F(PrefetcherTest, GivesEachStepInOrderFromAnyStart) {
  for (int depth : {1, 3, 100}) {
    for (int64_t first : {0, 7, 10}) {
      Prefetcher<Made> prefetcher(reading(plan), first, depth);
      int64_t step = first;
      while (const std::optional<Made> made = prefetcher.next()) {
        EXPECT_EQ(made->first, step);
        ASSERT_EQ(made->second.size(), 2u);
        EXPECT_EQ(made->second[1].sample_ids, (*plan(step))[1]);
        EXPECT_EQ(made->second[0].labels[1], (10 * step + 1) % 3);
        ++step;
      }
      EXPECT_EQ(step, 10);
      EXPECT_FALSE(prefetcher.next());
    }
  }
}

TEST_F(PrefetcherTest, AnErrorComesOutInItsTurn) {
  const auto bad = [](int64_t step) -> std::optional<RankShare> {
    if (step == 2) fail(ExitCode::kBadInput, "step two is bad");
    return plan(step);
  };
  Prefetcher<Made> prefetcher(reading(bad));
  EXPECT_EQ(prefetcher.next()->first, 0);
  EXPECT_EQ(prefetcher.next()->first, 1);
  EXPECT_EQ(error_of([&] { prefetcher.next(); }), "step two is bad");
  EXPECT_EQ(error_of([&] { prefetcher.next(); }), "step two is bad");
}

TEST_F(PrefetcherTest, StopsWhereverItIs) {
  for (int taken : {0, 1, 5}) {
    Prefetcher<Made> prefetcher(reading(plan), 0, 2);
    for (int i = 0; i < taken; ++i) EXPECT_TRUE(prefetcher.next());
  }
}

TEST_F(PrefetcherTest, ARankWithoutSamplesGetsNoMicroBatches) {
  Prefetcher<Made> prefetcher(reading([](int64_t) { return RankShare{}; }));
  EXPECT_TRUE(prefetcher.next()->second.empty());
}

}  // namespace
}  // namespace berth::data
