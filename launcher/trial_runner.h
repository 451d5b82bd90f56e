// Trials of a sweep, each a run of berth train on the ranks of a group.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "launcher/cmd_sweep.h"
#include "launcher/options.h"
#include "launcher/ranks.h"
#include "launcher/stop_file.h"
#include "trainer/sweep/sweep_folder.h"
#include "trainer/sweep/sweep_plan.h"
#include "trainer/sweep/trial.h"

namespace berth::launch {

class TrialRunner {
 public:
  // All of them outlive it.
  TrialRunner(const SweepCommand& command, const train::SweepPlan& plan, const std::string& log_level, Rank& rank);

  // Whether a sweep says this option of berth train for each trial.
  static bool gives(const std::string& option);
  // What makes the trial. Throws Error(kUsage).
  std::vector<std::string> arguments_of(size_t trial) const;
  CommandLine command_of(size_t trial) const;
  std::filesystem::path folder_of(size_t trial) const { return options_.output_dir / train::name_of(plan_.trials[trial]); }
  std::string title_of(size_t trial) const;

  const std::string& metric() const { return metric_; }  // that counts: "eval_accuracy"
  bool greater() const { return greater_; }              // whether a greater value is better
  // The evaluation that counts for a trial at `share` of its steps; null: none, or its value is not finite.
  const train::TrialProgress::Evaluation* counting(const train::TrialProgress& progress, double share) const;

  enum class Outcome { kOver, kStopped };  // kStopped: a rank of this group or another was told to stop
  // Trains it for `share` of its steps, or on to there, unless that is done already. What it fails of is told and kept
  // (train::TrialRecord). `most_starts`: so often it may have been started, or it fails. A collective call of the group. Throws what ends
  // the job.
  Outcome train(size_t trial, double share, int64_t most_starts);

  const train::Claims& claims() const { return claims_; }
  // On a group's rank 0: a signal came, there is a file STOP in the sweep's folder, or another group was told to stop.
  bool told_to_stop();

 private:
  bool begin(const std::filesystem::path& run, size_t trial, double share, int64_t most_starts);
  void end(const std::filesystem::path& run, size_t trial, double share, int exit_code, std::string error);

  const SweepCommand& command_;
  const train::TrainOptions& options_;
  const train::SweepPlan& plan_;
  const std::string& log_level_;
  Rank& rank_;
  train::Claims claims_;
  std::string metric_;
  bool greater_;
  StopFile others_, asked_;
};

}  // namespace berth::launch
