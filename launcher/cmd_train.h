// berth train
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "launcher/ranks.h"
#include "trainer/run/train_options.h"

namespace berth::launch {

struct TrainCommand {
  train::TrainOptions options;
  DeviceOptions device;
  bool disable_tqdm = false;  // no progress bar, plain lines
};

// `command_line`, as given, goes to berth.log, `shell_command` (CommandLine::for_shell) into the model card, `all_options` to provenance.json.
// Returns the exit code.
int run_train(const TrainCommand& command, const std::string& command_line, const std::string& shell_command,
              const nlohmann::ordered_json& all_options, const std::string& log_level);

}  // namespace berth::launch
