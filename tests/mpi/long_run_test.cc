// Long and large: what a process holds does not grow with steps or rows. Label soak, some ten minutes.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;

// Resident memory and open files of the process whose number is in a file, as long as it runs.
class Watch {
 public:
  explicit Watch(fs::path pid_file) : thread_([this, file = std::move(pid_file)] { run(file); }) {}
  ~Watch() { stop(); }
  Watch(const Watch&) = delete;
  void stop() {
    over_ = true;
    if (thread_.joinable()) thread_.join();
  }
  struct Sample {
    long kilobytes = 0, files = 0;
  };
  // The largest of the samples from this share of all on to that one.
  Sample most(double begin, double end) const {
    const auto at = [this](double share) {
      return samples_.begin() + static_cast<ptrdiff_t>(share * static_cast<double>(samples_.size()));
    };
    Sample most;
    for (auto it = at(begin); it != at(end); ++it)
      most = {std::max(most.kilobytes, it->kilobytes), std::max(most.files, it->files)};
    return most;
  }

 private:
  void run(const fs::path& pid_file) {
    for (; !over_; std::this_thread::sleep_for(std::chrono::milliseconds(100))) {
      std::string pid, word;
      if (!(std::ifstream(pid_file) >> pid)) continue;
      Sample sample;
      for (std::ifstream status("/proc/" + pid + "/status"); status >> word;)
        if (word == "VmRSS:") status >> sample.kilobytes;
      std::error_code gone;
      sample.files = std::distance(fs::directory_iterator("/proc/" + pid + "/fd", gone), {});
      if (sample.kilobytes > 0) samples_.push_back(sample);
    }
  }
  std::atomic<bool> over_ = false;
  std::vector<Sample> samples_;
  std::thread thread_;
};

class LongRun : public TinyJob {
 protected:
  // Runs berth, which must succeed, under the eyes of `watch`.
  static void run_watched(const std::string& arguments, Watch& watch) {
    const JobResult result = run_shell(berth_program() + " " + arguments + " & echo $! > " + at("pid") + "; wait $!");
    watch.stop();
    fs::remove(at("pid"));
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
};

TEST_F(LongRun, AHundredThousandStepsWithSavesAndEvaluations) {
  Watch watch(at("pid"));
  run_watched(train_into("run",
                         "--max-steps 100000 --logging-steps 100 --per-device-train-batch-size 4 --save-steps 2000 "
                         "--eval-strategy steps --eval-steps 2000"),
              watch);
  const Watch::Sample early = watch.most(0.1, 0.3), late = watch.most(0.8, 1);
  std::cout << "resident: " << early.kilobytes << " KiB early, " << late.kilobytes << " KiB late; files: " << early.files << ", "
            << late.files << std::endl;
  ASSERT_GT(early.kilobytes, 0);
  EXPECT_LE(late.kilobytes, early.kilobytes + 8192);
  EXPECT_LE(late.files, early.files + 1);  // a file may be open at one time and not at another
}

TEST_F(LongRun, FiveMillionRowsTakeNoMoreMemoryThanHalfAMillion) {
  const auto most_for = [](int rows) {
    write_tiny_reviews(at("many.csv"), rows);
    Watch watch(at("pid"));
    run_watched("prepare --train-file " + at("many.csv") + " --validation-split 0.1 --tokenizer " + at("model") + " --output " +
                    at("many.h5"),
                watch);
    fs::remove(at("many.h5"));
    fs::remove(at("many.csv"));
    return watch.most(0, 1).kilobytes;
  };
  const long few = most_for(500'000), many = most_for(5'000'000);
  std::cout << "at most " << few << " KiB, " << many << " KiB" << std::endl;
  ASSERT_GT(few, 0);
  EXPECT_LE(many, few * 5 / 4);
}

}  // namespace
}  // namespace berth::test
