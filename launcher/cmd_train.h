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

// `command_line` and `all_options` go to berth.log and provenance.json. Returns the exit code.
int run_train(const TrainCommand& command, const std::string& command_line, const nlohmann::ordered_json& all_options,
              const std::string& log_level);

}  // namespace berth::launch
