// Signals that ask to stop, to rank 0, to another rank or to all, at each stage of each command. Failpoints send them, so that they come
// where they are meant to come.
//
// Each stage with some signals, or with BERTH_SWEEP=all with each (label soak).
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include "tests/support/run_results.h"
#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;

constexpr std::pair<const char*, int> kSignals[] = {
    {"TERM", SIGTERM}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"INT", SIGINT}, {"HUP", SIGHUP}};

struct Stage {
  const char* point;
  int exit_code;
  bool on_all_ranks = true;  // else on rank 0 alone
};

void PrintTo(const Stage& stage, std::ostream* out) { *out << stage.point; }

bool all_of_it() {
  const char* which = std::getenv("BERTH_SWEEP");
  return which != nullptr && which == std::string("all");
}

class SignalJob : public TinyJob {
 protected:
  // Calls `test` with signals and which of two ranks get them: rank 0, rank 1, both; with a signal of its own each time.
  template <class Test>
  static void with_signals(const Stage& stage, const Test& test) {
    static size_t next = 0;
    std::vector<std::pair<int, int>> who{{0, 0}, {1, 1}, {0, 1}};
    if (!all_of_it()) who.erase(who.begin() + static_cast<int>(next % 2));
    if (!stage.on_all_ranks) who = {{0, 0}};
    for (const auto& [first, last] : who) {
      for (size_t i = 0; i < (all_of_it() ? std::size(kSignals) : 1); ++i) {
        const auto& [name, number] = kSignals[next++ % std::size(kSignals)];
        SCOPED_TRACE(std::string(stage.point) + ", " + name + " to ranks " + std::to_string(first) + " to " +
                     std::to_string(last));
        test(at_failpoint(std::string(stage.point) + ":" + name, first, last), number);
      }
    }
  }

  // The files in the tests' folder.
  static std::vector<std::string> files() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(at(""))) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
};

// Ten steps of two ranks, evaluated (in 11 rounds) after the fifth and the last; a signal during one of the five saves is seen before the
// next save but one begins.
class StoppedTraining : public SignalJob, public testing::WithParamInterface<Stage> {
 protected:
  static void SetUpTestSuite() {
    SignalJob::SetUpTestSuite();
    const JobResult job = run_berth(arguments("whole"), 2);
    ASSERT_EQ(job.exit_code, 0) << job.err;
    whole_ = all_results(at("whole"));
  }
  static std::string arguments(const std::string& run) {
    return "train --model " + at("model") + " --data " + at("data.h5") + " --output-dir " + at(run) +
           " --global-batch-size 12 --max-steps 10 --eval-strategy steps --eval-steps 5 --save-steps 2 --logging-steps 1 "
           "--learning-rate 1e-3 --warmup-steps 3 --per-device-eval-batch-size 2 --save-total-limit 1 --disable-tqdm";
  }
  static inline RunResults whole_;
};

// All ranks agree on a step, save, and leave with 75; where all steps are done, the run ends. Nothing is lost either way.
TEST_P(StoppedTraining, SavesAndGoesOn) {
  with_signals(GetParam(), [](const Disturbance& disturbance, int) {
    const JobResult job = run_berth(arguments("run"), 2, disturbance);
    ASSERT_EQ(job.exit_code, GetParam().exit_code) << job.err;
    if (job.exit_code != 0) {
      EXPECT_NE(job.err.find("(stopped early) in "), std::string::npos) << job.err;
      EXPECT_NE(job.err.find("start the same command again to go on"), std::string::npos) << job.err;
      EXPECT_FALSE(fs::exists(at("run/model.safetensors")));
      const JobResult again = run_berth(arguments("run"), 2);
      ASSERT_EQ(again.exit_code, 0) << again.err;
    }
    EXPECT_EQ(differences(all_results(at("run")), whole_), std::vector<std::string>()) << job.err;
    fs::remove_all(at("run"));
  });
}

INSTANTIATE_TEST_SUITE_P(Stages, StoppedTraining,
                         testing::Values(Stage{"start", 75}, Stage{"load", 75}, Stage{"step", 75}, Stage{"step@7", 75},
                                         Stage{"evaluation", 75}, Stage{"evaluation@4", 75}, Stage{"evaluation@15", 75},
                                         Stage{"record@4", 75, false}, Stage{"before-manifest", 75, false},
                                         Stage{"before-manifest@5", 0, false}, Stage{"finish", 0}, Stage{"finish@2", 0, false},
                                         Stage{"finish@3", 0, false}));

TEST_F(SignalJob, ASecondInterruptEndsTrainingAtOnceAndLosesNothing) {
  const std::string options = "--global-batch-size 12 --max-steps 10 --save-steps 5";
  for (const int ranks : {1, 2}) {
    const std::string whole = "whole" + std::to_string(ranks), run = "interrupted" + std::to_string(ranks);
    ASSERT_EQ(train(whole, options, ranks).exit_code, 0);
    EXPECT_EQ(train(run, options, ranks, {{"BERTH_FAILPOINT", "write@12+:INT"}}).exit_code, 128 + SIGINT);
    ASSERT_EQ(train(run, options, ranks).exit_code, 0);
    EXPECT_EQ(differences(all_results(at(run)), all_results(at(whole))), std::vector<std::string>());
  }
}

// What leaves no checkpoint ends as any program does that a signal stops: not with 75, on which a batch script starts it again.
TEST_F(SignalJob, WhatMakesNoCheckpointEndsAsAnyProgram) {
  ASSERT_EQ(train("run", "--max-steps 2 --save-strategy no").exit_code, 0);
  struct Command {
    std::string arguments, said;
    int ranks;
    std::vector<Stage> stages;
  };
  const std::string model = "--model " + at("run");
  const Command commands[] = {
      {"prepare --train-file " + at("many.csv") + " --tokenizer " + at("model") + " --output " + at("new.h5"),
       "no data set was written",
       1,
       {{"prepare", 0, false}, {"prepare@9", 0, false}}},
      {"predict --output " + at("new.jsonl") + " --per-device-eval-batch-size 4 --input - " + model,
       "the predictions are not complete",
       2,
       {{"start", 0}, {"load", 0}, {"predict", 0}, {"predict@3", 0}}},
      {"evaluate --per-device-eval-batch-size 2 --data " + at("data.h5") + " " + model,
       "there are no metrics",
       2,
       {{"start", 0}, {"load", 0}, {"evaluation@3", 0}}},
  };
  write_tiny_reviews(at("many.csv"), 3000);
  const std::vector<std::string> before = files();
  for (const Command& command : commands)
    for (const Stage& stage : command.stages)
      with_signals(stage, [&](Disturbance disturbance, int signal) {
        disturbance.of_job = "cat " + at("train.csv") + " | ";
        const JobResult job = run_berth(command.arguments, command.ranks, disturbance);
        EXPECT_EQ(job.exit_code, 128 + signal) << job.err;
        EXPECT_NE(job.err.find("stopped on request"), std::string::npos) << job.err;
        EXPECT_NE(job.err.find(command.said), std::string::npos) << job.err;
        EXPECT_EQ(files(), before);
      });
}

}  // namespace
}  // namespace berth::test
