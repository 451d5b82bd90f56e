// Ranks that share values or moments, each updating a part: the bits are those of a rank that updates all, however many share.
#include <gtest/gtest.h>

#include "trainer/optim/adamw.h"
#include "trainer/optim/grad_reducer.h"

namespace berth::train {
namespace {

struct Case {
  const char* name;
  int ranks_per_host;
  AdamWOptions options;
  bool bf16;
  ParameterStore::Updates updates = ParameterStore::Updates::kOnEachHost;
  bool background = true;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

constexpr int64_t kRows = 301, kWidth = 12;
const std::vector<ParameterSpec> kSpecs{{.name = "table", .shape = {kRows, kWidth}, .kind = GradKind::kRows},
                                        {.name = "frozen", .shape = {100}},
                                        {.name = "small", .shape = {7}, .decay = false},
                                        {.name = "large", .shape = {5, 3 * kChunk + 11}},
                                        {.name = "other", .shape = {2 * kChunk}}};

// Values, compute copies, moments and averages, as they are after some steps.
struct Outcome {
  std::vector<at::Tensor> tensors;
  std::vector<double> norms;
};

class SharersTest : public testing::TestWithParam<Case> {
 protected:
  // All ranks of `comm` have the same gradients: small integers, of which `ranks` ranks have the sum.
  static Outcome run(comm::Communicator& comm, int ranks, const Case& c) {
    ParameterStore store(kSpecs, comm, /*bucket_bytes=*/int64_t{4} * 4 * kChunk * 4, {"frozen"}, c.updates);
    store.initialize(kSpecs, 0.02, 11);
    AdamW optimizer(store, c.options);
    if (c.bf16) store.enable_compute_copy(at::kBFloat16);
    GradReducer reducer(store, comm);
    Outcome outcome;
    for (int step = 0; step < 5; ++step) {
      const std::vector<int32_t> touched{0, step, 150, 151, 200 + step, kRows - 1};
      reducer.begin(RowSet(kRows, touched));
      for (Parameter& parameter : store.parameters()) {
        if (parameter.frozen) continue;
        const at::Tensor whole = at::arange(parameter.grad.numel()).remainder(17 + step).sub(8).mul(ranks / comm.size());
        const at::Tensor grad = whole.to(at::kFloat).view(parameter.grad.sizes());
        if (parameter.name != "table")
          parameter.grad.add_(grad);
        else
          for (const int32_t row : touched) parameter.grad[row].add_(grad[row]);
      }
      reducer.finish();
      outcome.norms.push_back(optimizer.gradient_norm(reducer.touched_rows()));
      optimizer.step(optimizer.peaks(), outcome.norms.back(), reducer.touched_rows());
    }
    for (const auto& [name, moment] : optimizer.gathered_state()) outcome.tensors.push_back(moment.clone());
    store.await_values();
    for (int swap = 0; swap < 2; ++swap) {
      for (const Parameter& parameter : store.parameters()) {
        outcome.tensors.push_back(parameter.value.detach().clone());
        outcome.tensors.push_back(parameter.compute_value.detach().clone());
      }
      optimizer.swap_averages();
    }
    return outcome;
  }
};

TEST_P(SharersTest, HaveTheBitsOfARankAlone) {
  const Case& c = GetParam();
  const auto comm = comm::make_mpi_communicator({.background = c.background, .ranks_per_host = c.ranks_per_host});
  const auto alone = comm::make_local_communicator();
  const Outcome ours = run(*comm, 12, c), wanted = run(*alone, 12, c);
  EXPECT_EQ(ours.norms, wanted.norms);
  const size_t moments = wanted.tensors.size() - ours.tensors.size();
  EXPECT_EQ(moments > 0, comm->rank() > 0);  // which rank 0 has for all
  for (size_t i = 0; i < ours.tensors.size(); ++i) {
    const at::Tensor &a = ours.tensors[i], &b = wanted.tensors[i + moments];
    if (c.options.optim == Optim::kLamb)  // its norms are summed in other parts
      EXPECT_TRUE(at::allclose(a, b, 1e-6, 1e-9)) << i;
    else
      EXPECT_TRUE(at::equal(a, b)) << i;
  }
}

// As a resumed run does: rank 0 fills for all, here with what it has, through another optimizer.
TEST_P(SharersTest, StateIsFilledByOneForAll) {
  const auto comm = comm::make_mpi_communicator({.ranks_per_host = GetParam().ranks_per_host});
  ParameterStore store(kSpecs, *comm, 1 << 16, {"frozen"}, GetParam().updates);
  store.initialize(kSpecs, 0.02, 11);
  AdamW optimizer(store, GetParam().options);
  optimizer.fill_state([&](const AdamW::State& state) {
    for (const auto& [name, tensor] : state) {
      if (comm->rank() == 0) tensor.copy_(at::arange(tensor.numel()).view(tensor.sizes()));
      comm->broadcast(tensor, 0);
    }
  });
  optimizer.restored(3);
  int64_t seen = 0;
  for (const auto& [name, tensor] : optimizer.gathered_state()) {
    EXPECT_TRUE(at::equal(tensor, at::arange(tensor.numel(), at::kFloat).view(tensor.sizes()))) << name;
    ++seen;
  }
  EXPECT_EQ(seen > 0, comm->rank() == 0);
  EXPECT_EQ(optimizer.steps(), 3);
}

// Without a thread beside it a communicator does nothing before it must: values are there when they are awaited, and no others.
TEST(AwaitedValuesTest, ComeInForwardOrder) {
  const auto comm = comm::make_mpi_communicator({.background = false, .ranks_per_host = 1});
  if (comm->size() == 1) return;
  ParameterStore store(kSpecs, *comm, 1 << 16, {"frozen"}, ParameterStore::Updates::kAmongAll);
  store.initialize(kSpecs, 0.02, 11);
  store.enable_compute_copy(at::kBFloat16);
  const auto each = [&](const auto& work) {
    for (size_t b = store.buckets().size(); b-- > 0;)
      if (store.buckets()[b].is_cut) work(b, store.buckets()[b]);
  };
  each([&](size_t b, Bucket& bucket) {
    bucket.part(bucket.values).fill_(7);
    store.start_gather(b);
  });
  store.end_update();
  const auto came = [](const Bucket& bucket) {
    const bool values = bucket.values.eq(7).all().item<bool>();
    EXPECT_EQ(bucket.compute_values.eq(7).all().item<bool>(), values);
    return values;
  };
  size_t awaited = store.buckets().size();
  for (const char* name : {"table", "small", "large", "other"}) {
    const Parameter& parameter = store[name];
    store.await_values(parameter);
    const bool is_cut = store.buckets()[static_cast<size_t>(parameter.bucket)].is_cut;
    EXPECT_EQ(is_cut, parameter.name != "table");
    if (is_cut) awaited = static_cast<size_t>(parameter.bucket);
    each([&](size_t b, const Bucket& bucket) { EXPECT_EQ(came(bucket), b >= awaited) << name << ", bucket " << b; });
  }
  EXPECT_EQ(awaited, 0U);
}

const AdamWOptions kDecay{.learning_rate = 1e-2, .weight_decay = 0.01};
const AdamWOptions kAverages{.learning_rate = 1e-2, .weight_decay = 0.01, .ema_decay = 0.8};
const AdamWOptions kLamb{.optim = Optim::kLamb, .learning_rate = 1e-2, .weight_decay = 0.01, .ema_decay = 0.8};
INSTANTIATE_TEST_SUITE_P(Ways, SharersTest,
                         testing::Values(Case{"OneHost", 0, kDecay, false}, Case{"OneHostBf16", 0, kAverages, true},
                                         Case{"OneHostLamb", 0, kLamb, false}, Case{"HostsOfTwo", 2, kAverages, true},
                                         Case{"HostsOfTwoLamb", 2, kLamb, false}, Case{"HostsOfOne", 1, kAverages, false},
                                         Case{"AmongAll", 1, kAverages, true, ParameterStore::Updates::kAmongAll},
                                         Case{"AmongAllWithoutThread", 1, kAverages, true, ParameterStore::Updates::kAmongAll,
                                              false},
                                         Case{"AmongAllLamb", 1, kLamb, false, ParameterStore::Updates::kAmongAll}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace berth::train
