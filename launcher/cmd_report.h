// berth report: a run, a sweep, or several runs as one HTML page (trainer/report/html.h).
#pragma once

#include <filesystem>
#include <ostream>
#include <vector>

namespace berth::launch {

struct ReportCommand {
  std::vector<std::filesystem::path> runs;
  std::filesystem::path output;  // "": report.html in the folder, of several runs comparison.html here
};

// Writes `folder`'s report.html. A run or sweep stands without its page: what goes wrong is a warning. One that was stopped before its first log
// has none.
void try_to_write_page(const std::filesystem::path& folder);

// Writes the page and prints its path. Returns the exit code.
int run_report(const ReportCommand& command, std::ostream& out);

}  // namespace berth::launch
