// berth scale: what a training step and its communication take here, and how it would scale to more ranks.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "launcher/cmd_train.h"

namespace berth::launch {

struct CommandLine;

struct ScaleOptions {
  std::vector<int> ranks = {8, 16, 32, 64, 128, 256, 512};
  std::vector<std::string> platforms = {"ethernet", "infiniband", "nvlink", "measured"};
  int ranks_per_node = 8;
  std::filesystem::path json;  // empty: print only
  std::filesystem::path from;  // empty: measure

  void validate() const;  // Error(kUsage)
};

struct ScaleCommand {
  ScaleOptions scale;
  TrainCommand train;  // the steps to be measured
};

// Prints what was measured and, where there is a simulator, what is predicted. Returns the exit code.
int run_scale(const ScaleCommand& command, const CommandLine& line);

}  // namespace berth::launch
