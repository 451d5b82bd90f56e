// Jobs of which a rank stops, spins, dies or is slow: the culprit is named within --ddp-timeout, the job ends with an exit code other than
// 0, and no process of it is left.
#include <chrono>
#include <filesystem>
#include <regex>
#include <thread>

#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;

constexpr int kRanks = 3;

// Processes whose command line has `text`, after at most a minute in which those that were killed go.
std::vector<std::string> left_over(const std::string& text) {
  std::vector<std::string> found;
  for (int look = 0; look < 600; ++look) {
    found.clear();
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string line = fs::exists(entry.path() / "cmdline") ? read_bytes(entry.path() / "cmdline") : "";
      if (line.find(text) != std::string::npos) found.push_back(entry.path().filename().string() + " " + line);
    }
    if (found.empty()) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return found;
}

// What happens to which rank, and what the job says of it.
struct Fault {
  const char* name;
  int rank;
  const char* failpoint;
  const char* said;
  bool unseen = false;  // by what started the ranks, whose exit code tells nothing then
};

void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

class HangingJob : public TinyJob, public testing::WithParamInterface<Fault> {};

TEST_P(HangingJob, NamesTheRankEndsAndLeavesNoProcess) {
  const Fault& fault = GetParam();
  Disturbance disturbed = at_failpoint(fault.failpoint, fault.rank, fault.rank);
  if (fault.unseen) disturbed.of_job = "env OMPI_MCA_orte_enable_recovery=1 ";
  const JobResult result =
      run_berth("train --model " + at("model") + " --data " + at("data.h5") + " --output-dir " + at(fault.name) +
                    " --global-batch-size 12 --max-steps 20 --eval-strategy steps --eval-steps 4 --save-steps 6 --disable-tqdm "
                    "--ddp-timeout 4",
                kRanks, disturbed);
  EXPECT_TRUE(fault.unseen || (result.exit_code != 0 && result.exit_code != 75)) << result.exit_code;
  EXPECT_TRUE(std::regex_search(result.err, std::regex(fault.said))) << result.err;
  EXPECT_EQ(left_over(at(fault.name)), std::vector<std::string>());
}

INSTANTIATE_TEST_SUITE_P(
    Faults, HangingJob,
    testing::Values(
        Fault{"stopped", 1, "forward@3:STOP",
              "rank [02] on host .* waits in vain for .* in \"step [34]: .*\n"
              "  rank 1 on host .* did not arrive: it is stopped: kill -CONT [0-9]+ lets it go on; the last collective ended "
              "[0-9]+ s ago"},
        Fault{"spinning", 2, "forward@3:SPIN",
              "rank [01] on host .* waits in vain for .* in \"step [34]: .*\n"
              "  rank 2 on host .* did not arrive: it is in \"step 3: forward\", for [0-9]+ s, after [0-9]+ collectives"},
        Fault{"stopped_at_start", 2, "start:STOP", "rank 2 on host .* (is stopped: kill -CONT|is not there)"},
        Fault{"stopped_loading", 0, "read@3:STOP",
              "rank [12] on host .* waits in vain for .* in \"start: .*\n  rank 0 on host .* did not arrive: it is stopped"},
        Fault{"spinning_in_evaluation", 1, "evaluation:SPIN",
              "rank [02] on host .* waits in vain for .* in \"evaluation after step 4\".*\n"
              "  rank 1 on host .* did not arrive: it is in \"evaluation after step 4\", for "},
        Fault{"stopped_saving", 0, "after-model:STOP", "rank 0 on host .* did not arrive: it is stopped"},
        // What started the ranks does not see that one dies.
        Fault{"dead_unseen", 1, "forward@3",
              "rank [02] on host .* waits in vain for .*\n  rank 1 on host .* did not arrive: it has ended \\(process [0-9]+\\)",
              true},
        Fault{"dead", 1, "forward@3", "rank 1 with PID [0-9]+ on node .* exited on signal 9"}),
    [](const auto& info) { return std::string(info.param.name); });

class SlowJob : public TinyJob {};

TEST_F(SlowJob, ARankThatKeepsTheOthersWaitingIsNamedOnce) {
  const JobResult result =
      run_berth("train --model " + at("model") + " --data " + at("data.h5") + " --output-dir " + at("slow") +
                    " --global-batch-size 12 --max-steps 80 --eval-strategy no --save-strategy no --disable-tqdm",
                kRanks, at_failpoint("forward@1+:SLOW", 1, 1));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::regex said("rank 1 \\(.*\\) takes [0-9.]+ times as long as the median of the ranks; the others wait [0-9]+ %");
  EXPECT_EQ(std::distance(std::sregex_iterator(result.err.begin(), result.err.end(), said), {}), 1) << result.err;
  const auto jobs = nlohmann::json::parse(read_bytes(at("slow") + "/provenance.json"))["jobs"];
  // 0.2 s a step, which two ranks of three wait; they have work of their own, on a busy machine more of it.
  EXPECT_GT(jobs[0]["seconds"]["wait"], 79 * 0.2 * 2 / 3 * 0.5);
  EXPECT_TRUE(std::regex_search(result.err, std::regex("goodput .* train .*, wait "))) << result.err;
}

}  // namespace
}  // namespace berth::test
