#include "trainer/model/parameters.h"

#include <gtest/gtest.h>

#include "data/check.h"

namespace berth::train {
namespace {

const std::vector<ParameterSpec> kSpecs = {
    {"words", {5, 3}, true, GradKind::kRows, Init::kNormalPadded, 1},
    {"first.weight", {7, 3}},
    {"first.bias", {7}, false, GradKind::kDense, Init::kZeros},
    {"norm.weight", {7}, false, GradKind::kDense, Init::kOnes},
    {"last.weight", {64, 7}},
};

class ParameterStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<comm::Communicator> comm_ = comm::make_local_communicator();
};

TEST_F(ParameterStoreTest, FillsBucketsFromTheLastParameterAndCutsThemAtTheLimit) {
  ParameterStore store(kSpecs, *comm_, /*bucket_bytes=*/300);
  ASSERT_EQ(store.buckets().size(), 3u);
  EXPECT_EQ(store.buckets()[0].parameters, std::vector<int>({4}));  // larger than the limit: alone
  EXPECT_EQ(store.buckets()[1].parameters, std::vector<int>({3, 2, 1}));
  EXPECT_EQ(store.buckets()[2].parameters, std::vector<int>({0}));
  EXPECT_EQ(store.buckets()[2].kind, GradKind::kRows);
  for (const Parameter& parameter : store.parameters()) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(parameter.grad.data_ptr()) % 64, 0u) << parameter.name;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(parameter.value.data_ptr()) % 64, 0u) << parameter.name;
    EXPECT_TRUE(parameter.value.is_leaf() && parameter.value.requires_grad());
  }
}

TEST_F(ParameterStoreTest, WhatIsReadyLastLiesInASmallBucketIfThereAreSeveral) {
  constexpr int64_t kMegabyte = 1 << 18;  // elements
  const std::vector<ParameterSpec> specs = {{.name = "words", .shape = {4, 8}, .kind = GradKind::kRows},
                                            {.name = "positions", .shape = {4 * kMegabyte}},
                                            {.name = "frozen", .shape = {8 * kMegabyte}},
                                            {.name = "query", .shape = {5 * kMegabyte}},
                                            {.name = "key", .shape = {kMegabyte / 2}},
                                            {.name = "value", .shape = {kMegabyte}, .beside_previous = true},
                                            {.name = "output", .shape = {12 * kMegabyte}}};
  const auto buckets = [&](int64_t megabytes) {
    ParameterStore store(specs, *comm_, megabytes << 20, {"frozen"});
    std::vector<std::vector<int>> members;
    for (const Bucket& bucket : store.buckets())
      if (!bucket.frozen) members.push_back(bucket.parameters);
    return members;
  };
  using Members = std::vector<std::vector<int>>;
  EXPECT_EQ(buckets(20), (Members{{6, 5, 4}, {3, 1}, {0}}))
      << "10 MB are less than positions, query, key and value, of which two stay together";
  EXPECT_EQ(buckets(12), (Members{{6}, {5, 4}, {3, 1}, {0}}));
  EXPECT_EQ(buckets(23), (Members{{6, 5, 4, 3, 1}, {0}})) << "all fit into one";
}

TEST_F(ParameterStoreTest, BackwardAddsIntoTheSlotsAndAnnouncesEachGradientOncePerPass) {
  ParameterStore store(kSpecs, *comm_, 1 << 20);
  store.initialize(kSpecs, 1.0, 7);
  std::vector<int> announced;
  store.set_grad_ready_callback([&](int parameter) { announced.push_back(parameter); });
  const at::Tensor x = at::ones({2, 3});
  for (int pass = 1; pass <= 2; ++pass) {
    announced.clear();
    at::Tensor y = at::addmm(store["first.bias"].value, x, store["first.weight"].value.t());
    (y + y * 0).sum().backward();  // each parameter has two paths, but one gradient
    std::sort(announced.begin(), announced.end());
    EXPECT_EQ(announced, std::vector<int>({1, 2}));
    EXPECT_TRUE(store["first.bias"].grad.eq(2.f * pass).all().item<bool>());
    EXPECT_NO_THROW(store.check_grads_are_views());
  }
  const Bucket& bucket = store.buckets()[0];
  EXPECT_FLOAT_EQ(bucket.grads.sum().item<float>(), 2 * (7 * 2 + 21 * 2));  // gaps between slots stay zero
}

// Of a kind each: by products or not, with a product in this step or without.
TEST_F(ParameterStoreTest, WhatOnlyProductsMakeNeedNotBeZeroed) {
  const std::vector<ParameterSpec> specs = {{.name = "made", .shape = {7, 3}, .by_products = true},
                                            {.name = "bias", .shape = {7}},
                                            {.name = "unused", .shape = {5, 7}, .by_products = true},
                                            {.name = "norm", .shape = {20}}};
  ParameterStore store(specs, *comm_, 1 << 20);
  const Bucket& bucket = store.buckets()[0];
  const int made = store["made"].index, bias = store["bias"].index;
  EXPECT_FALSE(store.take_stale(made)) << "all is zero at first";
  bucket.grads.fill_(3);
  store.clear_grads(bucket, /*products_store=*/true);
  EXPECT_TRUE(store["made"].grad.eq(3).all().item<bool>());
  EXPECT_FLOAT_EQ(bucket.grads.sum().item<float>(), 3 * (7 * 3 + 5 * 7)) << "the rest is zero";
  EXPECT_FALSE(store.take_stale(bias));
  EXPECT_TRUE(store.take_stale(made));
  EXPECT_FALSE(store.take_stale(made)) << "the second product adds";
  store.complete_grads(bucket);
  EXPECT_FLOAT_EQ(bucket.grads.sum().item<float>(), 3 * 7 * 3) << "without a product: zero";
  store.clear_grads(bucket, /*products_store=*/false);
  EXPECT_TRUE(bucket.grads.eq(0).all().item<bool>());
  EXPECT_FALSE(store.take_stale(made));
}

TEST_F(ParameterStoreTest, NoticesAReplacedGradient) {
  ParameterStore store(kSpecs, *comm_, 1 << 20);
  store["last.weight"].value.mutable_grad() = at::zeros({64, 7});
  EXPECT_THROW(store.check_grads_are_views(), Error);
}

TEST_F(ParameterStoreTest, InitialValuesDependOnSeedAndNameOnly) {
  ParameterStore one(kSpecs, *comm_, 300), other({kSpecs[4], kSpecs[1]}, *comm_, 1 << 20);
  one.initialize(kSpecs, 0.02, 42);
  other.initialize({kSpecs[4], kSpecs[1]}, 0.02, 42);
  EXPECT_TRUE(one["last.weight"].value.equal(other["last.weight"].value));
  EXPECT_TRUE(one["first.weight"].value.equal(other["first.weight"].value));
  other.initialize({kSpecs[4]}, 0.02, 43);
  EXPECT_FALSE(one["last.weight"].value.equal(other["last.weight"].value));
  EXPECT_TRUE(one["norm.weight"].value.eq(1).all().item<bool>());
  EXPECT_TRUE(one["first.bias"].value.eq(0).all().item<bool>());
  EXPECT_TRUE(one["words"].value[1].eq(0).all().item<bool>());
  EXPECT_FALSE(one["words"].value[0].eq(0).any().item<bool>());
}

TEST_F(ParameterStoreTest, InitialValuesAreNormal) {
  const std::vector<ParameterSpec> specs = {{"w", {1001, 333}}};
  ParameterStore store(specs, *comm_, 1 << 20);
  store.initialize(specs, 0.02, 1);
  const at::Tensor z = store["w"].value.detach().to(at::kDouble) / 0.02;
  EXPECT_NEAR(z.mean().item<double>(), 0, 0.01);
  EXPECT_NEAR(z.pow(2).mean().item<double>(), 1, 0.01);
  EXPECT_NEAR(z.pow(4).mean().item<double>(), 3, 0.1);
  EXPECT_NEAR(z.abs().gt(1.959964).to(at::kDouble).mean().item<double>(), 0.05, 0.002);
}

TEST_F(ParameterStoreTest, FrozenParametersHaveNoGradientAndTheirOwnBucket) {
  ParameterStore store(kSpecs, *comm_, 1 << 20, {"words", "first.bias"});
  EXPECT_FALSE(store["words"].value.requires_grad());
  EXPECT_FALSE(store["words"].grad.defined());
  EXPECT_EQ(store["words"].bucket, store["first.bias"].bucket);
  EXPECT_TRUE(store.buckets()[store["words"].bucket].frozen);
  EXPECT_NE(store["first.weight"].bucket, store["first.bias"].bucket);
  EXPECT_NO_THROW(store.check_grads_are_views());
  EXPECT_THROW(ParameterStore(kSpecs, *comm_, 300, {"no such"}), Error);
}

TEST_F(ParameterStoreTest, ComputeCopyFollowsTheValues) {
  ParameterStore store(kSpecs, *comm_, 300);
  EXPECT_EQ(store["last.weight"].compute_value.data_ptr(), store["last.weight"].value.data_ptr());
  store.enable_compute_copy(at::kBFloat16);
  store.initialize(kSpecs, 0.02, 42);
  EXPECT_TRUE(store["last.weight"].compute_value.equal(store["last.weight"].value.to(at::kBFloat16)));
  EXPECT_EQ(store["words"].compute_value.data_ptr(), store["words"].value.data_ptr()) << "no product reads it";
}

}  // namespace
}  // namespace berth::train
