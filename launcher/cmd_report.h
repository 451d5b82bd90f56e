// berth report
#pragma once

#include <filesystem>

namespace berth::launch {

struct ReportCommand {
  std::filesystem::path run;
};

// Writes report.html into the run folder and prints its path. Returns the exit code.
int run_report(const ReportCommand& command);

}  // namespace berth::launch
