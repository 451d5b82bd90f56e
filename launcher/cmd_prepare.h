// berth prepare
#pragma once

#include <string>

#include "data/prepare/prepare.h"

namespace berth::launch {

struct PrepareCommand {
  data::PrepareOptions options;  // augment.substitute is made of the model below
  std::string augment_model;     // a masked language model; empty: none
};

// Prints the report on stdout, progress on stderr. One process: threads, no ranks. Returns the exit code: stopped by signal N,
// 128 + N, as for any program that a signal ends (not 75: there is no checkpoint, and another start would begin anew).
int run_prepare(PrepareCommand command, const std::string& command_line, const std::string& log_level);

}  // namespace berth::launch
