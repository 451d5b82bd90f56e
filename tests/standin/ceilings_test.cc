// What a training step of the GPU program asks of a GPU, counted by the stand-ins: operations and synchronisations cost microseconds each,
// whatever the model's size. Lower a ceiling when the step asks for less.
#include <algorithm>
#include <iomanip>
#include <iostream>

#include "tests/standin/standin_job.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;

// A step of 12 layers in bf16 with dropout: 4 samples on one rank, or on one of two ranks half of them. Launches are operators, own kernels and
// copies on the device; bytes up are what the batches of this data hold.
struct Ceiling {
  const char* task;
  int ranks;
  double launches, synchronisations, uploads, bytes_up, bytes_down;
  const char* options = "";
};
// clang-format off
constexpr Ceiling kCeilings[] = {
    // task         ranks  launches  waits  uploads  bytes up  bytes down
    {"data",          1,      350,      1,      3,     4160,       56},
    {"data",          2,      351,      1,      3,     2848,       56},
    {"regression",    1,      350,      1,      3,     1024,       56},
    {"topics",        1,      357,      1,      3,     1024,       56},
    {"ner",           1,      333,      1,      3,     1920,       56},
    {"qa",            1,      364,      1,      3,     5184,       56},
    {"mlm",           1,      345,      1,      2,     5824,       56},
    {"pretraining",   1,      369,      1,      2,     4608,       56},
    {"data",          1,      350,      1,      3,     4160,       56, " --class-weights balanced --label-smoothing-factor 0.1"},
    {"topics",        1,      365,      1,      3,     1024,       56, " --pos-weight balanced"},
};
// clang-format on

class Counting : public StandinJob {
 protected:
  static void SetUpTestSuite() {
    StandinJob::SetUpTestSuite();
    fs::copy(at("model"), at("deep"));
    auto config = nlohmann::json::parse(read_bytes(at("deep") + "/config.json"));
    config["num_hidden_layers"] = kLayers;
    config["num_attention_heads"] = 1;  // of 32 elements, as real models have them: no padding
    std::ofstream(at("deep") + "/config.json") << config;
  }

  // The reports of all processes of a job, added up.
  using Counts = std::map<std::string, std::map<std::string, double>>;  // by kind and name
  static Counts counts_of(const std::string& name, const std::string& arguments, int ranks) {
    const std::string report = at(name + "_report");
    const JobResult result = run_berth(arguments, ranks, {{"STANDIN_REPORT", report}});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    Counts all;
    for (const auto& entry : fs::directory_iterator(fs::path(report).parent_path())) {
      if (!entry.path().filename().string().starts_with(name + "_report.")) continue;
      const auto parsed = nlohmann::json::parse(read_bytes(entry.path()));
      for (auto kind = parsed.begin(); kind != parsed.end(); ++kind) {
        if (!kind->is_object()) continue;
        for (const auto& [of, n] : kind->at("by_name").get<std::map<std::string, double>>()) all[kind.key()][of] += n;
      }
    }
    return all;
  }
  static double more(const Counts& many, const Counts& few, const std::string& kind, const std::string& prefix = "") {
    const auto sum = [&](const Counts& counts) {
      double sum = 0;
      if (const auto names = counts.find(kind); names != counts.end())
        for (const auto& [name, n] : names->second) sum += name.starts_with(prefix) ? n : 0;
      return sum;
    };
    return sum(many) - sum(few);
  }

  static constexpr int kLayers = 12;
};

class Ceilings : public Counting, public testing::WithParamInterface<Ceiling> {
 protected:
  static Counts counts_of_steps(const Ceiling& ceiling, int steps) {
    const std::string task = ceiling.task, options = ceiling.options,
                      run = task + std::to_string(options.size()) + "_" + std::to_string(ceiling.ranks) + "_" +
                            std::to_string(steps);
    return counts_of(run,
                     "train --from-scratch --model " + at("deep") + " --data " + at(task + ".h5") + " --output-dir " + at(run) +
                         " --bf16 --global-batch-size 4 --eval-strategy no --save-strategy no --disable-tqdm --max-steps " +
                         std::to_string(steps) + options,
                     ceiling.ranks);
  }
};

TEST_P(Ceilings, AStepAsksForNoMore) {
  const Ceiling ceiling = GetParam();
  constexpr int kFew = 2, kMany = 3;
  Counts few = counts_of_steps(ceiling, kFew), many = counts_of_steps(ceiling, kMany);
  const auto per_step = [&](const std::string& kind, const std::string& prefix = "") {
    return more(many, few, kind, prefix) / (kMany - kFew) / ceiling.ranks;
  };
  const auto check = [&](const char* what, double measured, double allowed) {
    std::cout << std::setw(18) << what << ": " << measured << " a step, at most " << allowed << "\n";
    EXPECT_LE(measured, allowed) << what;
  };
  std::cout << ceiling.task << ", " << ceiling.ranks << " ranks" << ceiling.options << "\n";
  check("launches", per_step("launches") + per_step("copies", "on the device"), ceiling.launches);
  check("synchronisations", per_step("synchronisations"), ceiling.synchronisations);
  check("uploads", per_step("copies", "up"), ceiling.uploads);
  check("pageable uploads", per_step("copies", "up, pageable"), 0);
  check("bytes up", per_step("bytes_up"), ceiling.bytes_up);
  check("bytes down", per_step("bytes_down"), ceiling.bytes_down);
  // When the host waits for a step's report, it has launched the next step, whole: a GPU that is fast enough never waits for the host.
  std::cout << std::setw(18) << "launched behind"
            << ": " << per_step("behind") << " a step\n";
  EXPECT_GE(per_step("behind"), per_step("launches"));
  if (!HasFailure()) return;
  for (const char* kind : {"launches", "synchronisations", "copies"}) {
    std::cout << kind << " a step:\n";
    for (const auto& [name, n] : many[kind]) {
      const double a_step = (n - few[kind][name]) / (kMany - kFew) / ceiling.ranks;
      if (a_step > 0) std::cout << std::setw(10) << a_step << "  " << name << "\n";
    }
  }
}

// Of three batches against two: the host waits for one more, when the one after it has been launched.
TEST_F(Counting, EvaluationLooksAtABatchWhileTheNextOneIsComputed) {
  const std::string data = " --data " + at("data.h5");
  ASSERT_EQ(run_berth("train --from-scratch --model " + at("deep") + data + " --output-dir " + at("evaluated") +
                      " --max-steps 1 --save-strategy no --eval-strategy no --disable-tqdm")
                .exit_code,
            0);
  const std::string evaluate =
      "evaluate --per-device-eval-batch-size 8 --model " + at("evaluated") + data + " --max-eval-samples ";
  const Counts two = counts_of("two", evaluate + "16", 1), three = counts_of("three", evaluate + "24", 1);
  EXPECT_EQ(more(three, two, "synchronisations"), 1);
  EXPECT_GE(more(three, two, "launches"), 100);
  EXPECT_GE(more(three, two, "behind"), more(three, two, "launches"));
}

INSTANTIATE_TEST_SUITE_P(PerStep, Ceilings, testing::ValuesIn(kCeilings), [](const auto& test) {
  return test.param.task + std::string(test.param.ranks > 1 ? "_on_two_ranks" : *test.param.options ? "_weighted" : "");
});

}  // namespace
}  // namespace berth::test
