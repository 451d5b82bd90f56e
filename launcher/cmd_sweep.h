// berth sweep
#pragma once

#include <string>
#include <vector>

#include "launcher/cmd_train.h"
#include "trainer/sweep/sweep_plan.h"

namespace berth::launch {

struct CommandLine;

struct SweepCommand {
  train::SweepOptions sweep;
  TrainCommand train;                        // what all trials have in common
  std::vector<std::string> train_arguments;  // the same as berth train is given it: "--learning-rate=2e-05"
};

// Trains all trials, each by a group of --ranks-per-trial ranks, and says which configuration is best. Returns the exit code: 0 if any
// trial went well.
int run_sweep(const SweepCommand& command, const CommandLine& line);

}  // namespace berth::launch
