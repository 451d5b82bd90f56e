#include "trainer/optim/grad_reducer.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "data/check.h"

namespace berth::comm {
namespace {

using train::GradKind;
using train::GradReducer;
using train::ParameterSpec;
using train::ParameterStore;

constexpr int64_t kVocab = 300;
constexpr int64_t kWidth = 5;

std::vector<ParameterSpec> specs() {
  std::vector<ParameterSpec> all = {{.name = "table", .shape = {kVocab, kWidth}, .kind = GradKind::kRows}};
  for (int i = 0; i < 9; ++i) all.push_back({.name = "p" + std::to_string(i), .shape = {3 + 40 * i, 2}});
  all.push_back({.name = "frozen", .shape = {10}});
  return all;
}

// Each rank fills gradients with small integers, whose sums are exact, and announces them in an order of its own.
class GradReducerTest : public testing::TestWithParam<int> {
 protected:
  GradReducerTest() {
    CommOptions options;
    options.ranks_per_host = GetParam();
    comm = make_mpi_communicator(options);
    store = std::make_unique<ParameterStore>(specs(), *comm, /*bucket_bytes=*/1200, std::vector<std::string>{"frozen"});
    reducer = std::make_unique<GradReducer>(*store, *comm);
  }

  // With the rows that this rank touches.
  void begin(const std::vector<int32_t>& rows) {
    train::RowSet united(reducer->table_rows(), rows);
    comm->all_reduce_or(united.words());
    reducer->begin(united);
  }

  static std::mt19937 random_of(int step, int rank) { return std::mt19937(static_cast<uint32_t>(1000 * step + rank)); }

  // Rank r's micro-batches in this step: 0 to 3; and the rows it touches.
  static int micro_batches(int step, int rank) { return (step + rank) % 4; }
  static std::vector<int32_t> rows(int step, int rank) {
    std::vector<int32_t> touched;
    auto random = random_of(step, rank);
    for (int i = 0; micro_batches(step, rank) > 0 && i < 20; ++i) touched.push_back(static_cast<int32_t>(random() % kVocab));
    return touched;
  }
  // What one micro-batch of a rank adds to element i of parameter p.
  static float part(int step, int rank, int micro, int p, int64_t i) {
    return static_cast<float>((i * 7 + p * 13 + rank * 31 + micro * 3 + step) % 11 - 5);
  }

  void add_gradients(int step, int rank, int micro, bool announce) {
    std::vector<int> order(store->parameters().size());
    std::iota(order.begin(), order.end(), 0);
    auto random = random_of(step, rank + 77 * micro);
    std::shuffle(order.begin(), order.end(), random);
    for (const int p : order) {
      train::Parameter& parameter = store->parameters()[p];
      if (parameter.frozen || (p == 4 && step % 2)) continue;  // p4 is sometimes not used
      float* grad = parameter.grad.data_ptr<float>();
      if (parameter.name == "table") {
        for (const int32_t row : rows(step, rank)) grad[row * kWidth + micro] += 1;
      } else {
        for (int64_t i = 0; i < parameter.grad.numel(); ++i) grad[i] += part(step, rank, micro, p, i);
      }
      if (announce) store->announce_grad(p);
    }
  }

  float expected(int step, int p, int64_t i) const {
    float sum = 0;
    for (int r = 0; r < comm->size(); ++r) {
      for (int micro = 0; micro < micro_batches(step, r); ++micro) {
        if (store->parameters()[p].name != "table") {
          sum += p == 4 && step % 2 ? 0 : part(step, r, micro, p, i);
        } else if (i % kWidth == micro) {
          const auto touched = rows(step, r);
          sum += static_cast<float>(std::count(touched.begin(), touched.end(), i / kWidth));
        }
      }
    }
    return sum;
  }

  // Of the gradient, flat, what is this rank's part of it.
  at::Tensor own(const train::Parameter& parameter) const {
    const train::Bucket& bucket = store->buckets()[static_cast<size_t>(parameter.bucket)];
    const int64_t n = parameter.grad.numel(), begin = std::clamp(bucket.part_begin - parameter.offset, int64_t{0}, n),
                  end = std::clamp(bucket.part_begin + bucket.part_size - parameter.offset, int64_t{0}, n);
    parts += end - begin;
    return parameter.grad.view({-1}).slice(0, begin, end);
  }
  bool is_sum(const train::Parameter& parameter, const at::Tensor& wanted) const {
    const at::Tensor part = own(parameter);
    return part.equal(
        wanted.contiguous().view({-1}).narrow(0, part.storage_offset() - parameter.grad.storage_offset(), part.numel()));
  }

  mutable int64_t parts = 0;  // elements that were looked at
  std::unique_ptr<Communicator> comm;
  std::unique_ptr<ParameterStore> store;
  std::unique_ptr<GradReducer> reducer;
};

TEST_P(GradReducerTest, SumsWhatAllRanksComputedInWhateverOrder) {
  for (int step = 0; step < 12; ++step) {
    const int mine = micro_batches(step, comm->rank());
    begin(rows(step, comm->rank()));
    for (int micro = 0; micro < mine; ++micro) {
      reducer->set_last(micro == mine - 1);
      add_gradients(step, comm->rank(), micro, /*announce=*/true);
    }
    reducer->finish();
    for (const train::Parameter& parameter : store->parameters()) {
      if (parameter.frozen) continue;
      at::Tensor sums = at::empty(parameter.grad.sizes());
      for (int64_t i = 0; i < sums.numel(); ++i) sums.mutable_data_ptr<float>()[i] = expected(step, parameter.index, i);
      EXPECT_TRUE(is_sum(parameter, sums)) << parameter.name << " in step " << step;
    }
  }
  // Together the sharers have all of it.
  int64_t all = 0;
  for (const train::Parameter& parameter : store->parameters())
    if (!parameter.frozen) all += parameter.grad.numel();
  std::vector<int64_t> looked_at(static_cast<size_t>(comm->size()));
  looked_at[static_cast<size_t>(comm->rank() - comm->sharers().rank)] = parts;
  comm->all_reduce_sum(std::span(looked_at));
  EXPECT_EQ(looked_at[static_cast<size_t>(comm->rank() - comm->sharers().rank)], 12 * all);
}

TEST_P(GradReducerTest, UnitesTouchedRows) {
  const int32_t rank = comm->rank();
  begin({299, rank + 70, 3, rank + 70});
  std::vector<int32_t> wanted = {3};
  for (int r = 0; r < comm->size(); ++r) wanted.push_back(70 + r);
  wanted.push_back(299);
  EXPECT_EQ(reducer->touched_rows(), wanted);
  reducer->finish();
  begin({});
  EXPECT_TRUE(reducer->touched_rows().empty());
  reducer->finish();
}

TEST_P(GradReducerTest, RefusesRowsOutsideTheTable) { EXPECT_THROW(begin({kVocab}), Error); }

TEST_P(GradReducerTest, FollowsAutograd) {
  train::Parameter& a = (*store)["p1"];
  train::Parameter& b = (*store)["p2"];
  begin({});
  reducer->set_last(true);
  const float scale = static_cast<float>(comm->rank() + 1);
  torch::autograd::backward({((a.value * scale).sum() + (b.value * b.value * scale).sum())}, {});
  reducer->finish();
  const float total = static_cast<float>(comm->size() * (comm->size() + 1) / 2);
  EXPECT_TRUE(is_sum(a, at::full_like(a.grad, total)));
  EXPECT_TRUE(is_sum(b, b.value.detach() * 2 * total));
  store->check_grads_are_views();
}

// Autograd's hooks may announce again what a Function announced: that must not start a bucket whose other gradients are not in.
TEST_P(GradReducerTest, ARepeatedAnnouncementStartsNoBucketEarly) {
  begin({});
  reducer->set_last(true);
  // All buckets before the first one of several parameters are ready, so that this one could start.
  size_t shared = 0;
  for (; store->buckets()[shared].parameters.size() < 2 || store->buckets()[shared].kind != train::GradKind::kDense; ++shared)
    for (int index : store->buckets()[shared].parameters) store->announce_grad(index);
  const train::Bucket& bucket = store->buckets()[shared];
  for (size_t i = 0; i < bucket.parameters.size(); ++i) store->announce_grad(bucket.parameters[0]);
  const float own = static_cast<float>(comm->rank() + 1);
  for (int index : bucket.parameters) store->parameters()[static_cast<size_t>(index)].grad.fill_(own);
  reducer->finish();
  const float total = static_cast<float>(comm->size() * (comm->size() + 1) / 2);
  for (int index : bucket.parameters) {
    const train::Parameter& parameter = store->parameters()[static_cast<size_t>(index)];
    EXPECT_TRUE(is_sum(parameter, at::full_like(parameter.grad, total)));
  }
}

INSTANTIATE_TEST_SUITE_P(RanksPerHost, GradReducerTest, testing::Values(0, 2));

}  // namespace
}  // namespace berth::comm
