#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "trainer/optim/adamw.h"
#include "trainer/optim/schedule.h"

namespace berth::train {
namespace {

nlohmann::json golden() {
  std::ifstream in(std::string(BERTH_SOURCE_DIR) + "/tests/golden/optim.json");
  return nlohmann::json::parse(in);
}

TEST(Schedule, FactorsEqualTransformers) {
  const auto file = golden();
  const double peak = file["peak"];
  for (const auto& golden : file["schedules"]) {
    const Schedule schedule{parse_schedule(golden["name"].get<std::string>()), golden["total"], golden["warmup"]};
    for (size_t step = 0; step < golden["factors"].size(); ++step)
      EXPECT_NEAR(schedule.factor(static_cast<int64_t>(step), peak), golden["factors"][step].get<double>(), 1e-12)
          << golden["name"] << " warmup " << golden["warmup"] << " step " << step;
  }
}

TEST(Schedule, WarmupIsStepsFromOneOnAndAShareBelow) {
  EXPECT_EQ(resolve_warmup(0, 0, 100), 0);
  EXPECT_EQ(resolve_warmup(5, 0.5, 100), 5);
  EXPECT_EQ(resolve_warmup(0.1, 0, 101), 11);
  EXPECT_EQ(resolve_warmup(0, 0.1, 101), 11);
}

at::Tensor tensor(const nlohmann::json& values) {
  const auto v = values.get<std::vector<float>>();
  return at::tensor(at::ArrayRef<float>(v));
}

class AdamWGolden : public testing::TestWithParam<std::tuple<size_t, GradKind>> {};

TEST_P(AdamWGolden, ParametersAndNormEqualTorch) {
  const auto [index, kind] = GetParam();
  const auto golden = ::berth::train::golden()["adamw"][index];
  auto comm = comm::make_local_communicator();
  const int64_t rows = golden["rows"], width = golden["width"];
  ParameterStore store(
      {{.name = "table", .shape = {rows, width}, .kind = kind}, {.name = "bias", .shape = {width}, .decay = false}}, *comm,
      1 << 20);
  AdamW optimizer(store, {.learning_rate = 1e-2, .weight_decay = golden["decay"], .max_grad_norm = golden["max_norm"]});
  const auto set = [&](const std::string& name, const nlohmann::json& values, bool grad) {
    at::NoGradGuard no_grad;
    (grad ? store[name].grad : store[name].value).view(-1).copy_(tensor(values));
  };
  set("table", golden["start"][0], false);
  set("bias", golden["start"][1], false);
  for (const auto& step : golden["steps"]) {
    set("table", step["grads"][0], true);
    set("bias", step["grads"][1], true);
    const auto touched = step["touched"].get<std::vector<int32_t>>();
    const double norm = optimizer.gradient_norm(touched);
    EXPECT_NEAR(norm, step["norm"].get<double>(), 1e-6);
    optimizer.step(1e-2, norm, touched);
    EXPECT_TRUE(at::allclose(store["table"].value.view(-1), tensor(step["after"][0]), 1e-6, 1e-6));
    EXPECT_TRUE(at::allclose(store["bias"].value.view(-1), tensor(step["after"][1]), 1e-6, 1e-6));
  }
}

INSTANTIATE_TEST_SUITE_P(All, AdamWGolden,
                         testing::Combine(testing::Values(0, 1, 2), testing::Values(GradKind::kDense, GradKind::kRows)));

TEST(AdamW, RestoredStateGoesOnBitForBit) {
  auto comm = comm::make_local_communicator();
  const std::vector<ParameterSpec> specs{{.name = "table", .shape = {6, 4}, .kind = GradKind::kRows},
                                         {.name = "w", .shape = {33}}};
  const auto run = [&](int stop_at) {
    ParameterStore store(specs, *comm, 1 << 20);
    store.initialize(specs, 0.02, 1);
    auto optimizer = std::make_unique<AdamW>(store, AdamWOptions{.weight_decay = 0.01});
    for (int step = 0; step < 6; ++step) {
      if (step == stop_at) {
        std::vector<at::Tensor> saved;
        for (const auto& [name, moment] : optimizer->gathered_state()) saved.push_back(moment.clone());
        const int64_t steps = optimizer->steps();
        optimizer = std::make_unique<AdamW>(store, AdamWOptions{.weight_decay = 0.01});
        size_t i = 0;
        for (auto& [name, moment] : optimizer->gathered_state()) moment.copy_(saved[i++]);
        optimizer->restored(steps);
      }
      const std::vector<int32_t> touched{step % 3, 3};
      store["table"].grad.zero_();
      for (int32_t row : touched) store["table"].grad[row].fill_(0.1 * (step + 1));
      store["w"].grad.fill_(0.3 * step);
      optimizer->step(1e-3, optimizer->gradient_norm(touched), touched);
    }
    return at::cat({store["table"].value.detach().view(-1), store["w"].value.detach().view(-1)}).clone();
  };
  EXPECT_TRUE(at::equal(run(-1), run(3)));
}

}  // namespace
}  // namespace berth::train
