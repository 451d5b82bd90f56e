#include "trainer/scale/scaling.h"

#include <gtest/gtest.h>

#include "data/check.h"
#include "trainer/scale/platforms.h"

namespace berth::scale {
namespace {

// Links on which `n` bytes take a + n / b.
std::vector<Timing> timings(double a, double b) {
  std::vector<Timing> all;
  for (double bytes = 2048; bytes < 1e8; bytes *= 4) all.push_back({bytes, a + bytes / b});
  return all;
}

Measurement measurement() {
  return {.model = "model",
          .data = "data.h5",
          .device = "cpu",
          .ranks = 2,
          .samples = 16,
          .tokens = 214,
          .forward = 0.05,
          .backward = 0.1,
          .optimizer = 0.01,
          .step = {.before = 0.05, .backward = 0.1, .after = 0.01, .buckets = {{0.04, 1e6}, {0.1, 2e6}}},
          .step_seconds = 0.17,
          .word_bytes = 1000,
          .word_row_bytes = 100,
          .word_bucket = 1,
          .touched = {{16, 100}, {32, 160}, {64, 200}},
          .all_reduce = timings(3e-5, 1e10),
          .messages = timings(2e-5, 1e9),
          .host_all_reduce = 1e-5};
}

TEST(Scaling, AMeasurementSurvivesItsFile) {
  const Measurement m = measurement();
  EXPECT_EQ(json_of(parse_measurement(json_of(m), "file")), json_of(m));
}

TEST(Scaling, SaysWhatIsWrongWithAFile) {
  const auto problem = [](const auto& spoil) {
    Json json = json_of(measurement());
    spoil(json);
    try {
      parse_measurement(json, "m.json");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadInput);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(problem([](Json&) {}), "");
  EXPECT_NE(problem([](Json& json) { json.erase("tokens"); }).find("m.json: is no measurement of berth scale"),
            std::string::npos);
  EXPECT_NE(problem([](Json& json) { json.erase("tokens"); }).find("'tokens'"), std::string::npos);
  EXPECT_NE(problem([](Json& json) { json["step"]["backward"] = "long"; }).find("type must be number"), std::string::npos);
  EXPECT_NE(problem([](Json& json) { json["step"]["backward"] = -1; }).find("backward is -1"), std::string::npos);
  EXPECT_NE(problem([](Json& json) { json["ranks"] = 1.5; }).find("ranks is 1.5"), std::string::npos);
  EXPECT_NE(problem([](Json& json) { json["word_bucket"] = 2; }).find("word_bucket is 2"), std::string::npos);
  EXPECT_NE(problem([](Json& json) { json["touched"][1]["samples"] = 16; }).find("ascending"), std::string::npos);
  EXPECT_NE(problem([](Json& json) { json["messages"][1]["bytes"] = 1; }).find("messages has no ascending bytes"),
            std::string::npos);
  EXPECT_NE(problem([](Json& json) { json["step"] = Json::array(); }), "");
}

TEST(Scaling, MoreRanksTouchMoreWords) {
  const Measurement m = measurement();
  EXPECT_EQ(step_on(m, 1).buckets[1].bytes, 100 * 100);
  EXPECT_EQ(step_on(m, 2).buckets[1].bytes, 100 * 160);
  EXPECT_EQ(step_on(m, 3).buckets[1].bytes, 100 * 180);  // in the middle of 160 and 200
  EXPECT_EQ(step_on(m, 512).buckets[1].bytes, 100 * 200);
  EXPECT_EQ(step_on(m, 2).buckets[0].bytes, 1e6);
  EXPECT_EQ(step_on(m, 2).control_bytes, 1000 + 2 * 56);
}

TEST(Scaling, TakesMeasuredSumsForAllPlatformsOfCpus) {
  for (const char* name : {"ethernet", "infiniband", "measured"}) {
    const Platform p = platform(name, 8, measurement()).value();
    EXPECT_NEAR(p.sum_bandwidth, 1e10, 1) << name;
    EXPECT_NEAR(p.sum_latency, 3e-5, 1e-9) << name;
    EXPECT_NEAR(p.within.bandwidth, 2e9, 1) << name;  // MPI sends all bytes up and down
    EXPECT_NEAR(p.within.latency, 1e-5, 1e-9) << name;
  }
  Measurement hosts = measurement();
  hosts.hosts = 2;
  const Platform network = platform("measured", 8, hosts).value();
  EXPECT_EQ(network.ranks_per_node, 1);
  EXPECT_NEAR(network.between.bandwidth, 2e9, 1);
  Measurement alone = measurement();
  alone.ranks = 1;
  EXPECT_FALSE(platform("measured", 8, alone));
}

// (p - 1) / p of the bytes twice, in 2 (p - 1) messages.
TEST(Scaling, TakesMeasuredRingsOfGpus) {
  Measurement gpus = measurement();
  gpus.device = "NVIDIA H200";
  gpus.ranks = 4;
  gpus.messages.clear();
  const Platform p = platform("measured", 8, gpus).value();
  EXPECT_EQ(p.all_reduce, AllReduce::kRing);
  EXPECT_NEAR(p.within.bandwidth, 1e10 * 6 / 4, 10);
  EXPECT_NEAR(p.within.latency, 5e-6, 1e-9);
  EXPECT_EQ(platform("ethernet", 8, gpus)->all_reduce, AllReduce::kRing);
  EXPECT_EQ(platform("nvlink", 8, measurement())->all_reduce, AllReduce::kRing);
}

TEST(Scaling, RefusesUnknownPlatforms) {
  try {
    platform("token-ring", 8, measurement());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_STREQ(error.what(), "--platform token-ring is not known; use ethernet, infiniband, nvlink, measured");
  }
}

}  // namespace
}  // namespace berth::scale
