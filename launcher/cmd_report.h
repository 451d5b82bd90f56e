// berth report: a run as one HTML page (trainer/report/html.h).
#pragma once

#include <filesystem>
#include <ostream>

namespace berth::launch {

struct ReportCommand {
  std::filesystem::path run;
};

// Writes report.html into the run folder and prints its path. Returns the exit code.
int run_report(const ReportCommand& command, std::ostream& out);

}  // namespace berth::launch
