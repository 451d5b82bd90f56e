// fp16 and TF32, which only GPUs compute in, in whole jobs on the stand-ins.
#include <cmath>

#include "tests/standin/standin_job.h"
#include "tests/support/run_results.h"

namespace berth::test {
namespace {

// A task and an option.
class ElevenBits : public StandinJob, public testing::WithParamInterface<std::pair<const char*, const char*>> {};

// Rounding to 11 bits moves a loss of the first steps by less than this share of it; bf16's 8 bits move it by up to 2e-3.
TEST_P(ElevenBits, MoveALossALittle) {
  constexpr double kTolerance = 3e-4;
  const auto [task, option] = GetParam();
  const std::string full = std::string(task) + option + "_fp32", rounded = std::string(task) + option,
                    options = kOptions + ("--data " + at(std::string(task) + ".h5 "));
  for (const JobResult& result : {train(full, options, 2), train(rounded, options + option, 2)})
    ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto near = losses(at(rounded)), wanted = losses(at(full));
  ASSERT_EQ(near.size(), wanted.size());
  EXPECT_NE(near, wanted);
  for (const auto& [step, loss] : wanted) EXPECT_NEAR(near.at(step), loss, kTolerance * loss) << "step " << step;
}
INSTANTIATE_TEST_SUITE_P(Tasks, ElevenBits,
                         testing::Values(std::pair("data", "--fp16"), std::pair("ner", "--fp16"), std::pair("mlm", "--fp16"),
                                         std::pair("data", "--tf32")));

TEST_F(StandinJob, WhatOverflowsIsSkippedAndTheScaleIsKeptInTheCheckpoint) {
  const std::string options = kOverflowing + ("--data " + at("regression.h5"));
  const JobResult whole = train("overflows", options, 2);
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_NE(whole.err.find("step 1 overflowed in fp16 with the loss scale 65536; skipped, the scale is now 32768"),
            std::string::npos)
      << whole.err;
  const auto state = own_state(at("overflows")), early = own_state(at("overflows") + "/checkpoint-5");
  const int64_t overflowed = state["overflowed_steps"];
  EXPECT_GE(overflowed, 1);
  EXPECT_EQ(state["optimizer_steps"], 12 - overflowed);
  EXPECT_EQ(state["loss_scale"]["scale"], 65536 >> overflowed);
  EXPECT_LT(early["loss_scale"]["scale"], 65536);
  EXPECT_EQ(nlohmann::json::parse(read_bytes(at("overflows") + "/train_results.json"))["train_overflowed_steps"], overflowed);
  for (const auto& [step, loss] : losses(at("overflows"))) EXPECT_TRUE(std::isfinite(loss)) << step;

  EXPECT_NE(train("goes_on", options, 2, {{"BERTH_FAILPOINT", "step@8"}}).exit_code, 0);
  const JobResult again = train("goes_on", options, 2);
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(own_state(at("goes_on"))["loss_scale"], state["loss_scale"]);
  EXPECT_EQ(losses(at("goes_on")), losses(at("overflows")));
  for (const char* file : {"/model.safetensors", "/checkpoint-10/optimizer.safetensors"})
    EXPECT_TRUE(read_bytes(at("goes_on") + file) == read_bytes(at("overflows") + file)) << file;
}

TEST_F(StandinJob, ARunKeepsItsPrecision) {
  const std::string options = std::string(kOptions) + "--save-strategy steps --save-steps 1 ";
  EXPECT_NE(train("precise", options + "--tf32", 1, {{"BERTH_FAILPOINT", "step@3"}}).exit_code, 0);
  const JobResult other = train("precise", options + "--fp16");
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("--fp16 false, now true; --tf32 true, now false"), std::string::npos) << other.err;
  for (const char* option : {"--fp16", "--tf32"}) {
    const JobResult on_cpu = train("on_cpu", kOptions + std::string(option) + " --device cpu");
    EXPECT_EQ(on_cpu.exit_code, 2);
    EXPECT_NE(on_cpu.err.find(option + std::string(" needs a GPU")), std::string::npos) << on_cpu.err;
    EXPECT_FALSE(std::filesystem::exists(at("on_cpu")));
  }
}

TEST_F(StandinJob, EvaluatesAndPredictsInFp16) {
  const JobResult trained =
      train("evaluated", std::string(kOptions) + "--fp16 --eval-strategy steps --eval-steps 8 --data " + at("data.h5"), 2);
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const auto loss_in = [&](const std::string& more) {
    const JobResult result = run_berth("evaluate --model " + at("evaluated") + " --data " + at("data.h5") + more, 2);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return nlohmann::json::parse(result.out)["eval_loss"].get<double>();
  };
  const double full = loss_in(""), half = loss_in(" --fp16");
  EXPECT_NE(half, full);
  EXPECT_NEAR(half, full, 1e-3 * full);
  EXPECT_EQ(nlohmann::json::parse(read_bytes(at("evaluated") + "/eval_results.json"))["eval_loss"], half);
  EXPECT_EQ(run_berth("predict --fp16 --model " + at("evaluated") + " --text \"ban bas\"").exit_code, 0);
}

}  // namespace
}  // namespace berth::test
