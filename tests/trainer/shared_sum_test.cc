// Threads in the place of ranks, on memory of their own: so the thread sanitizer sees every access.
#include "trainer/comm/shared/shared_sum.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

namespace berth::comm {
namespace {

constexpr int64_t kElements = 3 * (1 << 16) + 17;  // several chunks, the last one short

struct alignas(64) Line {
  std::byte bytes[64];
};

class SharedSumTest : public testing::TestWithParam<int> {
 protected:
  int ranks() const { return GetParam(); }

  // Calls `work(rank, sum)` on a thread for each rank.
  template <class Work>
  void on_all_ranks(const Work& work) {
    std::vector<Line> control(SharedSum::control_bytes(ranks()) / sizeof(Line));
    std::memset(control.data(), 0, control.size() * sizeof(Line));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks(); ++rank)
      threads.emplace_back([&, rank] {
        SharedSum sum(rank, ranks(), control[0].bytes);
        work(rank, sum);
      });
    for (std::thread& thread : threads) thread.join();
  }

  // One tensor a rank.
  SharedSum::Tensors tensors(std::vector<std::vector<float>>& values) {
    values.assign(static_cast<size_t>(ranks()), std::vector<float>(kElements));
    SharedSum::Tensors all{.peers = {}, .elements = kElements};
    for (auto& own : values) all.peers.push_back(own.data());
    return all;
  }
  static void pause() { std::this_thread::yield(); }
};

// A rank's number at an element of a job; sums of them are exact in fp32.
float value(int rank, int64_t job, int64_t i) { return static_cast<float>((rank + 1) * (job + 1) * (i % 7)); }

TEST_P(SharedSumTest, EveryRankHasTheSumOfEachJob) {
  constexpr int64_t kJobs = 6;
  std::vector<std::vector<float>> values;
  const SharedSum::Tensors all = tensors(values);
  on_all_ranks([&](int rank, SharedSum& sum) {
    auto& own = values[static_cast<size_t>(rank)];
    for (int64_t job = 0; job < kJobs; ++job) {
      for (int64_t i = 0; i < kElements; ++i) own[static_cast<size_t>(i)] = value(rank, job, i);
      sum.announce(job);
      sum.sum(job, all, /*to_first_only=*/false, pause);
      const int64_t total = ranks() * (ranks() + 1) / 2;
      for (int64_t i = 0; i < kElements; i += 4099)
        ASSERT_EQ(own[static_cast<size_t>(i)], static_cast<float>(total * (job + 1) * (i % 7)))
            << "job " << job << ", rank " << rank;
    }
  });
}

// Parts that begin and end in the middle of chunks and blocks, one of them empty.
TEST_P(SharedSumTest, EveryRankHasTheSumsOfItsPartAndNothingElseIsWritten) {
  std::vector<std::vector<float>> values;
  SharedSum::Tensors all = tensors(values);
  for (int rank = 0; rank < ranks(); ++rank) all.ends.push_back(rank == 1 ? all.ends[0] : kElements * (rank + 1) / ranks());
  all.ends.back() = kElements;
  on_all_ranks([&](int rank, SharedSum& sum) {
    auto& own = values[static_cast<size_t>(rank)];
    for (int64_t i = 0; i < kElements; ++i) own[static_cast<size_t>(i)] = value(rank, 0, i);
    sum.announce(0);
    sum.sum(0, all, /*to_first_only=*/false, pause);
    const int64_t begin = rank == 0 ? 0 : all.ends[static_cast<size_t>(rank) - 1], end = all.ends[static_cast<size_t>(rank)];
    const int64_t total = ranks() * (ranks() + 1) / 2;
    int64_t wrong = 0;
    for (int64_t i = 0; i < kElements; ++i)
      wrong += own[static_cast<size_t>(i)] != (i >= begin && i < end ? static_cast<float>(total * (i % 7)) : value(rank, 0, i));
    EXPECT_EQ(wrong, 0) << "rank " << rank;
  });
}

TEST_P(SharedSumTest, OnSeveralHostsTheFirstRanksHaveTheSumAndTheOthersFetchTheResult) {
  constexpr int64_t kJobs = 4;
  std::vector<std::vector<float>> values;
  const SharedSum::Tensors all = tensors(values);
  on_all_ranks([&](int rank, SharedSum& sum) {
    auto& own = values[static_cast<size_t>(rank)];
    for (int64_t job = 0; job < kJobs; ++job) {
      std::fill(own.begin(), own.end(), static_cast<float>(rank + job));
      sum.announce(job);
      sum.sum(job, all, /*to_first_only=*/true, pause);
      if (rank == 0) {
        for (float& x : own) x += 1000;  // what the other hosts have
        sum.publish_result(job);
        sum.await_all_fetched(job, pause);
      } else {
        sum.await_result(job, pause);
        own = values[0];
        sum.confirm_fetched(job);
      }
      const auto expected = static_cast<float>(ranks() * (ranks() - 1) / 2 + ranks() * job + 1000);
      ASSERT_EQ(own.front(), expected) << rank;
      ASSERT_EQ(own.back(), expected) << rank;
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, SharedSumTest, testing::Values(1, 2, 3, 5));

}  // namespace
}  // namespace berth::comm
