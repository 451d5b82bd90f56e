// Trials of a sweep, each a run of berth train on the ranks of a group.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "launcher/cmd_sweep.h"
#include "launcher/options.h"
#include "launcher/ranks.h"
#include "trainer/sweep/sweep_plan.h"

namespace berth::launch {

class TrialRunner {
 public:
  // All of them outlive it.
  TrialRunner(const SweepCommand& command, const train::SweepPlan& plan, const std::string& log_level, Rank& rank);

  // Whether a sweep says this option of berth train for each trial.
  static bool gives(const std::string& option);
  // What makes the trial. Throws Error(kUsage).
  CommandLine command_of(size_t trial) const;
  const std::string& metric() const { return metric_; }  // that counts: "eval_accuracy"

  enum class Outcome { kOver, kStopped };  // kStopped: a rank was told to stop
  // Trains it for `share` of its steps, or on to there, unless that is done already. What it fails of is told and kept
  // (train::TrialRecord). A collective call of the group. Throws what ends the job.
  Outcome train(size_t trial, double share);

 private:
  std::string title_of(size_t trial) const;
  bool begin(const std::filesystem::path& run, size_t trial, double share);
  void end(const std::filesystem::path& run, size_t trial, double share, int exit_code, const std::string& error);

  const SweepCommand& command_;
  const train::TrainOptions& options_;
  const train::SweepPlan& plan_;
  const std::string& log_level_;
  Rank& rank_;
  std::string metric_;
};

}  // namespace berth::launch
