#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/check.h"
#include "trainer/optim/adamw.h"
#include "trainer/optim/pieces.h"
#include "trainer/optim/plateau.h"
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
    const Schedule schedule{parse_schedule(golden["name"].get<std::string>()), golden["total"], golden["warmup"],
                            golden["kwargs"].get<ScheduleKwargs>()};
    check_schedule(schedule.type, schedule.kwargs, peak);
    for (size_t step = 0; step < golden["factors"].size(); ++step)
      EXPECT_NEAR(schedule.factor(static_cast<int64_t>(step), peak), golden["factors"][step].get<double>(), 1e-12)
          << golden["name"] << golden["kwargs"] << " warmup " << golden["warmup"] << " step " << step;
  }
}

TEST(Plateau, RatesAreTorchs) {
  for (const auto& golden : golden()["plateaus"]) {
    const auto kwargs = golden["kwargs"].get<ScheduleKwargs>();
    check_schedule(ScheduleType::kReduceLrOnPlateau, kwargs, 1e-3);
    Plateau plateau;
    for (size_t i = 0; i < golden["metrics"].size(); ++i) {
      const auto& metric = golden["metrics"][i];
      plateau = after_evaluation(plateau, metric.is_null() ? std::nan("") : metric.get<double>(), /*greater=*/false, kwargs);
      for (size_t group = 0; group < 2; ++group)
        EXPECT_EQ(lowered(golden["peaks"][group], plateau.reductions, kwargs), golden["rates"][i][group].get<double>())
            << kwargs << " evaluation " << i;
    }
  }
}

TEST(Plateau, TheModeIsTheMetricsUnlessGiven) {
  const ScheduleKwargs impatient{{"patience", 0}}, given{{"patience", 0}, {"mode", "min"}};
  for (const auto& [kwargs, reductions] : {std::pair(impatient, 0), std::pair(given, 2)}) {
    Plateau plateau;
    for (double accuracy : {0.5, 0.6, 0.7}) plateau = after_evaluation(plateau, accuracy, /*greater=*/true, kwargs);
    EXPECT_EQ(plateau.reductions, reductions);
  }
}

// What is not a schedule's, out of range or missing.
TEST(Schedule, ArgumentsAreChecked) {
  const auto message = [](const char* name, const char* json, double peak = 1e-3) -> std::string {
    try {
      check_schedule(parse_schedule(name), parse_schedule_kwargs(json), peak);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage);
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message("cosine", R"({"num_cycles": 2, "power": null})"), "");
  const std::pair<std::array<const char*, 2>, const char*> bad[] = {
      {{"cosine", R"({"cycles": 2})"}, "cosine does not know cycles; it takes num_cycles"},
      {{"linear", R"({"power": 2})"}, "linear does not know power; it takes none"},
      {{"cosine", "[1]"}, "must be a JSON object"},
      {{"cosine", "{num_cycles: 2}"}, "not valid JSON"},
      {{"cosine", R"({"num_cycles": "2"})"}, "num_cycles must be a number from 0 on, got \"2\""},
      {{"cosine", R"({"num_cycles": -1})"}, "num_cycles must be a number from 0 on, got -1"},
      {{"cosine_with_min_lr", "{}"}, "needs either min_lr or min_lr_rate"},
      {{"cosine_with_min_lr", R"({"min_lr": 1e-6, "min_lr_rate": 0.1})"}, "needs either min_lr or min_lr_rate"},
      {{"cosine_with_min_lr", R"({"min_lr_rate": 2})"}, "min_lr_rate must be a number from 0 to 1, got 2"},
      {{"warmup_stable_decay", "{}"}, "needs num_decay_steps"},
      {{"warmup_stable_decay", R"({"num_decay_steps": 1.5})"}, "must be a whole number"},
      {{"warmup_stable_decay", R"({"num_decay_steps": 5, "decay_type": "sqrt"})"}, "must be one of linear, cosine, 1-sqrt"},
      {{"reduce_lr_on_plateau", R"({"factor": 1})"}, "factor must be"},
      {{"polynomial", R"({"lr_end": 1e-2})"}, "must be below --learning-rate"}};
  for (const auto& [given, wanted] : bad)
    EXPECT_NE(message(given[0], given[1]).find(wanted), std::string::npos) << message(given[0], given[1]) << " / " << wanted;
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

class UpdateGolden : public testing::TestWithParam<std::tuple<const char*, size_t, GradKind>> {};

TEST_P(UpdateGolden, ParametersNormAndAveragesEqualTorch) {
  const auto [optim, index, kind] = GetParam();
  const auto file = golden(), golden = file[optim][index];
  auto comm = comm::make_local_communicator();
  const int64_t rows = golden["rows"], width = golden["width"];
  ParameterStore store(
      {{.name = "table", .shape = {rows, width}, .kind = kind}, {.name = "bias", .shape = {width}, .decay = false}}, *comm,
      1 << 20);
  const auto make_optimizer = [&] {  // the averages begin with the values
    return std::make_unique<AdamW>(store, AdamWOptions{.optim = parse_optim(optim),
                                                       .learning_rate = 1e-2,
                                                       .weight_decay = golden["decay"],
                                                       .max_grad_norm = golden["max_norm"],
                                                       .ema_decay = file["ema_decay"]});
  };
  const auto set = [&](const std::string& name, const nlohmann::json& values, bool grad) {
    at::NoGradGuard no_grad;
    (grad ? store[name].grad : store[name].value).view(-1).copy_(tensor(values));
  };
  set("table", golden["start"][0], false);
  set("bias", golden["start"][1], false);
  const auto optimizer = make_optimizer();
  const auto expect = [&](const nlohmann::json& values) {
    EXPECT_TRUE(at::allclose(store["table"].value.view(-1), tensor(values[0]), 1e-6, 1e-6));
    EXPECT_TRUE(at::allclose(store["bias"].value.view(-1), tensor(values[1]), 1e-6, 1e-6));
  };
  for (const auto& step : golden["steps"]) {
    set("table", step["grads"][0], true);
    set("bias", step["grads"][1], true);
    const auto touched = step["touched"].get<std::vector<int32_t>>();
    const double norm = optimizer->gradient_norm(touched);
    EXPECT_NEAR(norm, step["norm"].get<double>(), 1e-6);
    optimizer->step(optimizer->peaks(), norm, touched);
    expect(step["after"]);
    optimizer->swap_averages();
    expect(step["averages"]);
    optimizer->swap_averages();
  }
}

INSTANTIATE_TEST_SUITE_P(All, UpdateGolden,
                         testing::Combine(testing::Values("adamw", "lamb"), testing::Values(0, 1, 2),
                                          testing::Values(GradKind::kDense, GradKind::kRows)));

// Parameters named as a model's, of two values each.
struct GoldenModel {
  std::unique_ptr<comm::Communicator> comm = comm::make_local_communicator();
  nlohmann::json file;
  ParameterStore store;

  explicit GoldenModel(const nlohmann::json& golden) : file(golden), store(specs(), *comm, 1 << 20) { set(file["start"], false); }
  std::vector<ParameterSpec> specs() const {
    std::vector<ParameterSpec> specs;
    for (const auto& name : file["names"])
      specs.push_back({.name = name, .shape = {2}, .decay = !name.get<std::string>().ends_with("bias")});
    return specs;
  }
  void set(const nlohmann::json& values, bool grad) {
    at::NoGradGuard no_grad;
    for (size_t i = 0; i < values.size(); ++i) {
      Parameter& parameter = store[file["names"][i]];
      (grad ? parameter.grad : parameter.value).copy_(tensor(values[i]));
    }
  }
  void expect(const nlohmann::json& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      const std::string name = file["names"][i];
      EXPECT_TRUE(at::allclose(store[name].value, tensor(values[i]), 1e-6, 1e-7)) << name;
    }
  }
};

TEST(AdamW, LearnsAtTheRatesOfTorchsParameterGroups) {
  for (const auto& golden : golden()["rate_groups"]) {
    GoldenModel model(golden);
    AdamWOptions options;
    options.learning_rate = golden["learning_rate"];
    options.layerwise_lr_decay = golden["decay"];
    options.weight_decay = golden["weight_decay"];
    if (!golden["head"].is_null()) options.head_learning_rate = golden["head"];
    AdamW optimizer(model.store, options);
    EXPECT_EQ(optimizer.peaks().front(), options.learning_rate);
    const Schedule schedule{ScheduleType::kLinear, std::ssize(golden["steps"]), 2};
    for (size_t i = 0; i < golden["steps"].size(); ++i) {
      model.set(golden["steps"][i]["grads"], true);
      std::vector<double> rates = optimizer.peaks();
      for (double& rate : rates) rate *= schedule.factor(static_cast<double>(i), options.learning_rate);
      optimizer.step(rates, optimizer.gradient_norm({}), {});
      model.expect(golden["steps"][i]["after"]);
    }
  }
}

TEST(RateGroups, FrozenParametersHaveNoneAndThereIsRoomForSoMany) {
  auto comm = comm::make_local_communicator();
  const auto groups_of = [&](int layers, const std::vector<std::string>& frozen) {
    std::vector<ParameterSpec> specs{{.name = "bert.embeddings.word_embeddings.weight", .shape = {1}}};
    for (int i = 0; i < layers; ++i) specs.push_back({.name = "bert.encoder.layer." + std::to_string(i) + ".w", .shape = {1}});
    const ParameterStore store(specs, *comm, 1 << 20, frozen);
    return rate_groups(store.parameters(), {.layerwise_lr_decay = 0.9, .head_learning_rate = {}});
  };
  EXPECT_EQ(groups_of(12, {}).peaks.size(), 14u);
  const RateGroups half = groups_of(2, {"bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.w"});
  EXPECT_EQ(half.peaks, (std::vector{5e-5, 5e-5 * 0.9}));
  EXPECT_EQ(half.of_parameter, (std::vector<uint8_t>{0, 0, 1}));
  EXPECT_EQ(groups_of(62, {}).peaks.size(), 64u);
  EXPECT_THROW(groups_of(63, {}), Error);
}

TEST(AdamW, ComputeCopiesFollowInBothTypes) {
  auto comm = comm::make_local_communicator();
  const std::vector<ParameterSpec> specs{{.name = "table", .shape = {6, 4}, .kind = GradKind::kRows},
                                         {.name = "w", .shape = {2, kChunk + 7}},
                                         {.name = "b", .shape = {33}, .decay = false}};
  for (const Optim optim : {Optim::kAdamW, Optim::kLamb})
    for (const at::ScalarType type : {at::kBFloat16, at::kFloat}) {  // a CPU that multiplies bf16, or not
      ParameterStore store(specs, *comm, 1 << 20);
      store.initialize(specs, 0.02, 1);
      Bucket& dense = store.buckets()[0];
      dense.compute_values = at::zeros(dense.values.sizes(), type);
      AdamW optimizer(store, {.optim = optim, .learning_rate = 1e-2, .weight_decay = 0.01});
      store["w"].grad.normal_();
      optimizer.step(optimizer.peaks(), optimizer.gradient_norm({}), {});
      EXPECT_TRUE(dense.compute_values.equal(dense.values.to(at::kBFloat16).to(type)));
    }
}

// Of all bits of the upper half, with lower halves around the ties.
TEST(AdamW, RoundsToBf16AsTorchDoes) {
  std::vector<float> values;
  for (uint32_t upper = 0; upper < 0x10000; ++upper)
    for (const uint32_t lower : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
      values.push_back(std::bit_cast<float>(upper << 16 | lower));
  const at::Tensor given = at::from_blob(values.data(), {std::ssize(values)}), torchs = given.to(at::kBFloat16);
  for (const int64_t begin : {0, 1}) {  // from the second on they are not aligned, and no multiple of anything
    const int64_t n = std::ssize(values) - begin;
    const at::Tensor own = at::zeros({begin + n}, at::kBFloat16), own_fp32 = at::zeros({begin + n});
    kernels::round_to_bf16(reinterpret_cast<uint16_t*>(own.mutable_data_ptr<at::BFloat16>()) + begin, values.data() + begin, n);
    kernels::round_to_bf16(own_fp32.mutable_data_ptr<float>() + begin, values.data() + begin, n);
    EXPECT_TRUE(at::isnan(own).equal(at::isnan(torchs)));
    EXPECT_TRUE(at::nan_to_num(own, 7).equal(at::nan_to_num(torchs, 7)));
    EXPECT_TRUE(at::nan_to_num(own_fp32, 7).equal(at::nan_to_num(torchs.to(at::kFloat), 7)));
  }
}

TEST(AdamW, RestoredStateGoesOnBitForBit) {
  auto comm = comm::make_local_communicator();
  const std::vector<ParameterSpec> specs{{.name = "table", .shape = {6, 4}, .kind = GradKind::kRows},
                                         {.name = "w", .shape = {33}}};
  const auto run = [&](Optim optim, int stop_at) {
    ParameterStore store(specs, *comm, 1 << 20);
    store.initialize(specs, 0.02, 1);
    const AdamWOptions options{.optim = optim, .learning_rate = 1e-3, .weight_decay = 0.01, .ema_decay = 0.9};
    auto optimizer = std::make_unique<AdamW>(store, options);
    for (int step = 0; step < 6; ++step) {
      if (step == stop_at) {
        std::vector<at::Tensor> saved;
        for (const auto& [name, moment] : optimizer->gathered_state()) saved.push_back(moment.clone());
        const int64_t steps = optimizer->steps();
        optimizer = std::make_unique<AdamW>(store, options);
        size_t i = 0;
        for (auto& [name, moment] : optimizer->gathered_state()) moment.copy_(saved[i++]);
        optimizer->restored(steps);
      }
      const std::vector<int32_t> touched{step % 3, 3};
      store["table"].grad.zero_();
      for (int32_t row : touched) store["table"].grad[row].fill_(0.1 * (step + 1));
      store["w"].grad.fill_(0.3 * step);
      optimizer->step(optimizer->peaks(), optimizer->gradient_norm(touched), touched);
    }
    optimizer->swap_averages();
    return at::cat({store["table"].value.detach().view(-1), store["w"].value.detach().view(-1)}).clone();
  };
  for (const Optim optim : {Optim::kAdamW, Optim::kLamb}) EXPECT_TRUE(at::equal(run(optim, -1), run(optim, 3)));
}

}  // namespace
}  // namespace berth::train
