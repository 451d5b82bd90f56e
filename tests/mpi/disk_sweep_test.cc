// One fault of the disk at each write, sync, close, rename and read of a training run with a best model, rotation, early stopping and all
// logs. The same command, started again until it succeeds, ends with what the undisturbed run wrote, or its last lines say what was lost.
//
// Runs a seeded 30 of them, or with BERTH_SWEEP=all each (label soak).
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <sstream>
#include <thread>

#include "tests/support/run_results.h"
#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;

// The loss falls, so the best model by these options is an early one; no evaluation is good enough, so the fourth ends the run.
constexpr const char* kOptions =
    "--global-batch-size 12 --max-steps 40 --eval-strategy steps --eval-steps 1 --save-strategy steps --save-steps 2 "
    "--save-total-limit 2 --load-best-model-at-end --greater-is-better true --early-stopping-patience 3 "
    "--early-stopping-threshold 100";

struct Fault {
  std::string point, error;
  int visit = 0;
  bool goes_on = false;  // in the second job of a run, whose first was killed
  std::string setting() const { return point + "@" + std::to_string(visit) + ":" + error; }
};

class DiskSweep : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    TinyJob::SetUpTestSuite();
    ASSERT_EQ(train("whole", kOptions).exit_code, 0);
    whole_ = final_results(at("whole"));
    ASSERT_NE(train("begun", kOptions, 1, {{"BERTH_FAILPOINT", "step@4"}}).exit_code, 0);
  }

  // The job in which there is a fault.
  static JobResult faulty_job(const std::string& run, const std::string& failpoint, bool goes_on) {
    if (goes_on) fs::copy(at("begun"), at(run), fs::copy_options::recursive);
    return train(run, kOptions, 1, {{"BERTH_FAILPOINT", failpoint}});
  }

  // How often the job comes to `point`: it is killed there, if it does.
  static int visits(const std::string& point, bool goes_on) {
    const auto comes_to = [&](int visit) {
      fs::remove_all(at("counted"));
      return faulty_job("counted", point + "@" + std::to_string(visit), goes_on).exit_code != 0;
    };
    int low = 1, high = 64;
    for (; comes_to(high); high *= 2) low = high;
    while (high - low > 1) (comes_to((low + high) / 2) ? low : high) = (low + high) / 2;
    return low;
  }

  // What the last lines must say where a file is not as it should be.
  static bool says_what_is_lost(const std::string& err, const std::string& file) {
    std::vector<std::string> lines;
    std::istringstream text(err);
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    if (lines.size() > 15) lines.erase(lines.begin(), lines.end() - 15);
    const std::string mark = file == "model.safetensors" ? "is lost: " : file;
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.find("warning: ") != std::string::npos && line.find(mark) != std::string::npos;
    });
  }

  // Whether a job may end for want of this file: its run folder cannot be taken, or the final model cannot be written, and it says what
  // to do.
  static bool is_needed(const std::string& err, const std::string& run) {
    const std::string last = err.substr(std::min(err.rfind("berth: "), err.size()));
    if (last.starts_with("berth: " + at(run) + ": the output folder cannot be written")) return true;
    if (last.find("start the same command again") == std::string::npos) return false;
    for (const char* file : {": ", "/config.json: ", "/model.safetensors: ", "/vocab.txt: ", "/tokenizer_config.json: ",
                             "/special_tokens_map.json: ", "/trainer_state.json: "})
      if (last.starts_with("berth: " + at(run) + file)) return true;
    return false;
  }

  // "" or what is wrong.
  static std::string outcome(const Fault& fault, const std::string& run) {
    JobResult job = faulty_job(run, fault.setting(), fault.goes_on);
    std::string said = job.err;
    ended_ += job.exit_code != 0;
    warned_ += said.find("warning: ") != std::string::npos;
    if (fault.point == "io" && job.exit_code != 0 && !is_needed(said, run)) return "ends the job: " + said;
    for (int again = 0; again < 3 && job.exit_code != 0; ++again) {
      job = train(run, kOptions);
      said += "---- again\n" + job.err;
    }
    if (job.exit_code != 0) return "does not end: " + said;
    std::string wrong;
    try {
      for (const std::string& file : differences(final_results(at(run)), whole_)) {
        ++lost_;
        if (!says_what_is_lost(said, file)) wrong += file + " differs\n";
      }
    } catch (const std::exception& error) {
      wrong += error.what();
    }
    for (const auto& entry : fs::recursive_directory_iterator(at(run)))
      if (entry.path().string().find(".tmp-berth-") != std::string::npos) wrong += entry.path().string() + " is left\n";
    fs::remove_all(at(run));
    return wrong.empty() ? "" : wrong + said;
  }

  // `some`: of how many, unless all are asked for.
  static void sweep(const std::string& point, const std::vector<std::string>& errors, bool goes_on, size_t some) {
    std::vector<Fault> faults;
    for (int visit = visits(point, goes_on); visit > 0; --visit)
      for (const std::string& error : errors) faults.push_back({point, error, visit, goes_on});
    const char* which = std::getenv("BERTH_SWEEP");
    if (which == nullptr || which != std::string("all")) {
      std::shuffle(faults.begin(), faults.end(), std::mt19937(1));
      faults.resize(std::min(faults.size(), some));
    }
    ended_ = warned_ = lost_ = 0;
    std::atomic<size_t> next{0};
    std::mutex reporting;
    const auto work = [&] {
      for (size_t i = next++; i < faults.size(); i = next++) {
        const std::string wrong = outcome(faults[i], "run" + std::to_string(i));
        const std::lock_guard lock(reporting);
        EXPECT_EQ(wrong, "") << faults[i].setting();
      }
    };
    std::thread other(work);
    work();
    other.join();
    std::cout << faults.size() << " faults: " << ended_ << " ended the job, " << warned_ << " were a warning; " << lost_
              << " files were not as without, and that was said" << std::endl;
  }

  static inline RunResults whole_;
  static inline std::atomic<int> ended_{0}, warned_{0}, lost_{0};
};

TEST_F(DiskSweep, EveryWriteSyncCloseAndRename) { sweep("io", {"ENOSPC", "EIO", "SHORT"}, false, 16); }
TEST_F(DiskSweep, EveryRead) { sweep("read", {"EIO"}, false, 4); }
TEST_F(DiskSweep, EveryWriteSyncCloseAndRenameOfAJobThatGoesOn) { sweep("io", {"ENOSPC", "EIO", "SHORT"}, true, 6); }
TEST_F(DiskSweep, EveryReadOfAJobThatGoesOn) { sweep("read", {"EIO"}, true, 4); }

}  // namespace
}  // namespace berth::test
