// berth prepare
#pragma once

#include <string>

#include "data/prepare.h"

namespace berth::launch {

// Prints the report on stdout, progress on stderr. One process: threads, no ranks. Returns the exit code.
int run_prepare(data::PrepareOptions options, const std::string& command_line, const std::string& log_level);

}  // namespace berth::launch
