// berth scale, whole.
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

using Json = nlohmann::json;

class ScaleJob : public TinyJob {
 protected:
  static JobResult scale(const std::string& options, int ranks = 1, const std::map<std::string, std::string>& env = {}) {
    return run_berth("scale --model " + at("model") + " --data " + at("data.h5") + " --max-steps 2 " + options, ranks, env);
  }
  static void expect_refused(const JobResult& result, int code, const std::string& says) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
  }
  static Json read(const std::string& name) { return Json::parse(read_bytes(at(name))); }
};

TEST_F(ScaleJob, MeasuresAndPredicts) {
  const JobResult result =
      scale("--ranks 4,16 --ddp-bucket-cap-mb 0.01 --gradient-accumulation-steps 2 --json " + at("two.json"), 2);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json file = read("two.json"), &measured = file["measured"], &predicted = file["predicted"];
  EXPECT_EQ(measured["ranks"], 2);
  EXPECT_EQ(measured["samples"], 16);
  EXPECT_GT(measured["all_reduce"].size(), 5u);
  EXPECT_EQ(measured["messages"].size(), measured["device"] == "cpu" ? measured["all_reduce"].size() : 0);
  // The buckets of the model, in their order: each is ready when the one before it is, and the words' rows come last.
  const Json& buckets = measured["step"]["buckets"];
  ASSERT_GT(buckets.size(), 2u);
  for (size_t i = 1; i < buckets.size(); ++i) EXPECT_GE(buckets[i]["ready"], buckets[i - 1]["ready"]);
  EXPECT_EQ(measured["word_bucket"], buckets.size() - 1);
  EXPECT_EQ(std::fmod(buckets.back()["bytes"].get<double>(), measured["word_row_bytes"].get<double>()), 0);
  EXPECT_GT(measured["touched"].size(), 5u);
  // Both micro-batches' passes, and the last one's backward.
  EXPECT_GT(measured["backward"], measured["step"]["backward"]);
  EXPECT_LE(measured["forward"], measured["step"]["before"]);
  // Three machines, and the measured one also on the ranks it was measured on.
  ASSERT_EQ(predicted.size(), 9u);
  for (const Json& row : predicted) {
    EXPECT_GT(row["step"], row["exposed"]);
    EXPECT_GT(row["efficiency"], 0);
    EXPECT_LE(row["efficiency"], 1);
    EXPECT_NEAR(row["samples_per_second"].get<double>() * row["step"].get<double>(), 16 * row["ranks"].get<double>(), 1e-6);
  }
  EXPECT_EQ(predicted[1]["platform"], "ethernet");
  EXPECT_EQ(predicted[1]["nodes"], 2);
  EXPECT_EQ(predicted[6]["platform"], "measured");
  EXPECT_EQ(predicted[6]["ranks"], 2);
  for (const char* shown : {"2 ranks on 1 host, ", "step of all ranks, ms", "platform", "efficiency, %"})
    EXPECT_NE(result.out.find(shown), std::string::npos) << shown << "\n" << result.out;

  // The same from the file.
  const JobResult again = run_berth("scale --ranks 4,16 --from " + at("two.json") + " --json " + at("again.json"));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(again.out, result.out);
  EXPECT_EQ(read("again.json"), file);
}

// Of a program without SimGrid: what was measured is printed and kept.
TEST_F(ScaleJob, WithoutSimulatorSaysSo) {
  std::filesystem::create_directory(at("bin"));
  std::error_code error;
  std::filesystem::create_hard_link(berth_program(), at("bin/berth"), error);
  if (error) std::filesystem::copy_file(berth_program(), at("bin/berth"));
  const JobResult result = run_shell(at("bin/berth") + " scale --model " + at("model") + " --data " + at("data.h5") +
                                     " --max-steps 2 --json " + at("one.json"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("install_deps.sh scale"), std::string::npos) << result.err;
  EXPECT_NE(result.out.find("forward, us a token"), std::string::npos) << result.out;
  EXPECT_FALSE(read("one.json").contains("predicted"));
  expect_refused(run_shell(at("bin/berth") + " scale --from " + at("one.json")), 2, "predictions need SimGrid");
  // One rank has no links: three machines are left.
  const JobResult later = run_berth("scale --ranks 8 --from " + at("one.json") + " --json " + at("later.json"));
  ASSERT_EQ(later.exit_code, 0) << later.err;
  EXPECT_EQ(read("later.json")["predicted"].size(), 3u);
}

TEST_F(ScaleJob, RefusesWhatItCannotDo) {
  expect_refused(scale("--platform token-ring"), 2,
                 "--platform token-ring is not known; use ethernet, infiniband, nvlink, measured");
  expect_refused(scale("--json " + at("nowhere/file.json")), 2, "there is no folder");
  expect_refused(scale("--global-batch-size 32", 2), 2, "--global-batch-size has no place here");
  expect_refused(run_berth("scale --from " + at("model/config.json")), 3, "holds nothing that berth scale --json has written");
}

}  // namespace
}  // namespace berth::test
