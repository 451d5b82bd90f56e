// AdamW as devices run it, its kernels on fibers and its tensors on the CPU, against AdamW as the CPU runs it.
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/fiber_optimizer.h"
#include "trainer/kernels/cpu_kernels.h"
#include "trainer/optim/adamw.h"
#include "trainer/optim/grad_reducer.h"

namespace berth::train {
namespace {

constexpr AdamWOptions kOptions{
    .learning_rate = 1e-2, .layerwise_lr_decay = 0.6, .head_learning_rate = 2e-2, .weight_decay = 0.05, .max_grad_norm = 1.0};
constexpr AdamWOptions kAveraged = [] {
  AdamWOptions options = kOptions;
  options.ema_decay = 0.7;
  return options;
}();
constexpr AdamWOptions kLamb = [] {
  AdamWOptions options = kAveraged;
  options.optim = Optim::kLamb;
  return options;
}();

constexpr const char* kTable = "bert.embeddings.table";

std::vector<ParameterSpec> specs(int64_t width) {
  return {{.name = kTable, .shape = {40, width}, .kind = GradKind::kRows},
          {.name = "frozen", .shape = {7}},
          {.name = "bert.encoder.layer.0.norm", .shape = {width}, .decay = false},
          {.name = "bert.encoder.layer.1.weight", .shape = {width, 33}},
          {.name = "bias", .shape = {33}, .decay = false}};
}

// A store with its optimizer and reducer: on fibers, or as the CPU does it.
struct Trainee {
  std::unique_ptr<comm::Communicator> comm = comm::make_local_communicator();
  ParameterStore store;
  GradReducer reducer;
  std::unique_ptr<AdamW> optimizer;
  at::Tensor loss = comm->allocate(1);
  kernels::StepScalars scalars{};  // of the last step on fibers
  AdamWOptions options;

  Trainee(bool on_fibers, int64_t width, bool with_copy = false, const AdamWOptions& of_optimizer = kOptions)
      : store(specs(width), *comm, /*bucket_bytes=*/400, {"frozen"}), reducer(store, *comm), options(of_optimizer) {
    store.initialize(specs(width), 0.05, 3);
    if (with_copy) enable_bf16_copy();
    make_optimizer(on_fibers);
  }
  // As a GPU's: in bf16, whatever this CPU multiplies.
  void enable_bf16_copy() {
    static const CpuKernels multiplies_bf16(cpu::best_table(), /*bf16_products=*/true);
    const Kernels& own = kernels_of(store.buckets()[0].values);
    register_kernels(at::kCPU, multiplies_bf16);
    store.enable_compute_copy(at::kBFloat16);
    register_kernels(at::kCPU, own);
  }
  void make_optimizer(bool on_fibers) {
    std::optional<test::FiberOptimizer> fibers;
    if (on_fibers) fibers.emplace();
    optimizer = std::make_unique<AdamW>(store, options);
  }

  void begin(const std::vector<int32_t>& rows) { reducer.begin(RowSet(reducer.table_rows(), rows)); }
  // A step whose gradients are a function of `step`, scaled; the loss is as given. Whether it was finite, and the norm.
  std::pair<bool, double> step(int step, float value = 0.5f) {
    const float scale = optimizer->loss_scale().defined() ? optimizer->loss_scale().item<float>() : 1;
    const std::vector<int32_t> rows{step % 5, 7, 7, 20 + step};
    begin(rows);
    reducer.set_last(true);
    at::NoGradGuard no_grad;
    for (Parameter& parameter : store.parameters()) {
      if (parameter.frozen) continue;
      const at::Tensor gradient = at::sin(at::arange(parameter.value.numel(), at::kFloat) * 0.7 + step).view_as(parameter.value);
      if (parameter.name == kTable) {
        for (int32_t row : rows) parameter.grad[row].copy_(gradient[row] * (step + 1) * scale);
      } else {
        parameter.grad.copy_(gradient * 0.2 * scale);
      }
    }
    reducer.finish();
    if (optimizer->on_device()) {
      loss.fill_(value);
      optimizer->start(optimizer->peaks(), loss, reducer.touched(), /*halts=*/false);
      scalars = optimizer->finish();
      EXPECT_EQ(static_cast<float>(scalars.loss), value);
      return {scalars.finite != 0, scalars.norm};
    }
    const double norm = optimizer->gradient_norm(reducer.touched_rows());
    if (!std::isfinite(norm) || !std::isfinite(value)) return {false, norm};
    optimizer->step(optimizer->peaks(), norm, reducer.touched_rows());
    return {true, norm};
  }
};

void expect_alike(Trainee& a, Trainee& b) {
  EXPECT_EQ(a.optimizer->steps(), b.optimizer->steps());
  for (const Parameter& parameter : a.store.parameters())
    EXPECT_TRUE(at::allclose(parameter.value, b.store[parameter.name].value, 1e-6, 1e-8)) << parameter.name;
  const auto state = a.optimizer->gathered_state(), other = b.optimizer->gathered_state();
  ASSERT_EQ(state.size(), other.size());
  for (size_t i = 0; i < state.size(); ++i) {
    EXPECT_EQ(state[i].first, other[i].first);
    const double tolerance = state[i].first.starts_with("weight.") ? 1e-8 : 1e-12;
    EXPECT_TRUE(at::allclose(state[i].second, other[i].second, 1e-6, tolerance)) << state[i].first;
  }
}

class DeviceStepTest : public testing::TestWithParam<std::tuple<int64_t, AdamWOptions>> {};

TEST_P(DeviceStepTest, IsTheCpusStepAndSkipsTheSameOnes) {
  const auto [width, options] = GetParam();
  Trainee device(true, width, false, options), host(false, width, false, options);
  ASSERT_TRUE(device.optimizer->on_device());
  ASSERT_FALSE(host.optimizer->on_device());
  for (int step = 0; step < 8; ++step) {
    const float loss = step == 2 ? std::numeric_limits<float>::infinity() : 0.5f;
    const auto [finite, norm] = device.step(step, loss);
    const auto [wanted_finite, wanted_norm] = host.step(step, loss);
    EXPECT_EQ(finite, wanted_finite);
    EXPECT_EQ(finite, step != 2);
    EXPECT_NEAR(norm, wanted_norm, 1e-12 * wanted_norm);
  }
  expect_alike(device, host);
  EXPECT_EQ(device.optimizer->steps(), 7);
}
INSTANTIATE_TEST_SUITE_P(All, DeviceStepTest,
                         testing::Combine(testing::Values(64, 12, 5, 1000),  // columns of the table
                                          testing::Values(kOptions, kAveraged, kLamb)));

class DeviceOptimizer : public testing::TestWithParam<AdamWOptions> {};
INSTANTIATE_TEST_SUITE_P(All, DeviceOptimizer, testing::Values(kOptions, kAveraged, kLamb));

TEST_P(DeviceOptimizer, GradientsThatAreNotFiniteChangeNoBit) {
  Trainee trainee(true, 12, /*with_copy=*/true, GetParam());
  trainee.step(0);
  std::vector<at::Tensor> before;
  const auto all = [&] {
    std::vector<at::Tensor> tensors;
    for (const Bucket& bucket : trainee.store.buckets()) {
      tensors.push_back(bucket.values);
      if (bucket.compute_values.defined()) tensors.push_back(bucket.compute_values);
    }
    for (const auto& [name, moment] : trainee.optimizer->gathered_state()) tensors.push_back(moment);
    return tensors;
  };
  for (const at::Tensor& tensor : all()) before.push_back(tensor.clone());
  trainee.begin({3});
  trainee.store[kTable].grad[3].fill_(std::numeric_limits<float>::infinity());
  trainee.reducer.finish();
  trainee.optimizer->start(trainee.optimizer->peaks(), trainee.loss, trainee.reducer.touched(), /*halts=*/false);
  EXPECT_EQ(trainee.optimizer->finish().finite, 0);
  EXPECT_EQ(trainee.optimizer->steps(), 1);
  const auto after = all();
  for (size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(at::equal(after[i], before[i])) << i;
}

TEST_P(DeviceOptimizer, TheComputeCopyGoesAlong) {
  Trainee trainee(true, 12, /*with_copy=*/true, GetParam());
  const auto expect_copies = [&] {
    for (const Bucket& bucket : trainee.store.buckets()) {
      EXPECT_EQ(bucket.compute_values.defined(), bucket.kind == GradKind::kDense);
      if (!bucket.compute_values.defined()) continue;
      EXPECT_TRUE(at::equal(bucket.compute_values, bucket.values.to(at::kBFloat16)));
    }
  };
  for (int step = 0; step < 3; ++step) trainee.step(step);
  expect_copies();
  trainee.optimizer->swap_averages();
  expect_copies();
}

void expect_same_values(Trainee& a, Trainee& b) {
  for (const Parameter& parameter : a.store.parameters())
    EXPECT_TRUE(at::equal(parameter.value, b.store[parameter.name].value)) << parameter.name;
}

TEST(DeviceStep, AScaleChangesNoBitAndIsRestored) {
  Trainee plain(true, 12), scaled(true, 12);
  scaled.optimizer->scale_loss({.scale = 1024, .updates = kScaleGrowthInterval - 3});
  kernels::LossScale left{};
  for (int step = 0; step < 6; ++step) {
    plain.step(step);
    EXPECT_TRUE(scaled.step(step).first);
    left = scaled.scalars.loss_scale;
    EXPECT_EQ(left.scale, step < 2 ? 1024 : 2048);
  }
  expect_same_values(plain, scaled);
  EXPECT_EQ(left.updates, 3);
  scaled.make_optimizer(true);
  scaled.optimizer->scale_loss(left);
  scaled.optimizer->restored(6);
  scaled.step(6);
  EXPECT_EQ(scaled.scalars.loss_scale.scale, 2048);
  EXPECT_EQ(scaled.scalars.loss_scale.updates, 4);
  EXPECT_EQ(scaled.optimizer->steps(), 7);
}

TEST_P(DeviceOptimizer, RestoredStateGoesOnBitForBit) {
  Trainee whole(true, 12, false, GetParam()), resumed(true, 12, false, GetParam());
  for (int step = 0; step < 6; ++step) {
    whole.step(step);
    if (step == 3) {
      std::vector<at::Tensor> saved;
      for (const auto& [name, moment] : resumed.optimizer->gathered_state()) saved.push_back(moment.clone());
      const int64_t steps = resumed.optimizer->steps();
      resumed.make_optimizer(true);
      size_t i = 0;
      for (auto& [name, moment] : resumed.optimizer->gathered_state()) moment.copy_(saved[i++]);
      resumed.optimizer->restored(steps);
    }
    resumed.step(step);
  }
  expect_same_values(whole, resumed);
}

}  // namespace
}  // namespace berth::train
