// berth check: what would ruin a job, found before it begins.
#pragma once

#include <string>

#include "launcher/cmd_train.h"
#include "trainer/check/finding.h"

namespace berth::launch {

struct CommandLine;
struct TerminalStyle;

struct CheckCommand {
  bool json = false;   // one JSON object instead of the table
  TrainCommand train;  // the run that is to be checked
};

// A line for each finding: level, name, what was found, what to do. On a terminal coloured, and wrapped to `width` columns.
std::string check_table(const preflight::Findings& findings, const TerminalStyle& style, int width);

// Prints what was found on rank 0. Returns the exit code: 3 if berth train would fail, or what it made would be worth little.
int run_check(const CheckCommand& command, const CommandLine& line);

}  // namespace berth::launch
