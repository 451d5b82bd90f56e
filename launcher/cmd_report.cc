#include "launcher/cmd_report.h"

#include <boost/log/trivial.hpp>

#include "data/check.h"
#include "data/files/files.h"
#include "trainer/report/comparison.h"
#include "trainer/report/html.h"

namespace berth::launch {
namespace {

constexpr const char* kNoRun =
    " has neither metrics.jsonl nor all_results.json: it is not a run folder, or nothing has been logged yet";

std::string page_of_runs(const std::vector<std::filesystem::path>& folders) {
  std::vector<train::RunReport> runs;
  for (const std::filesystem::path& folder : folders) {
    std::optional<train::RunReport> run = train::read_run(folder);
    check(run.has_value(), folder.string(), kNoRun);
    run->name = folder.string();  // two runs may have the same last name
    runs.push_back(*std::move(run));
  }
  return train::render_comparison(runs);
}

}  // namespace

void try_to_write_page(const std::filesystem::path& folder) {
  try {
    if (const auto page = train::write_report(folder)) BOOST_LOG_TRIVIAL(info) << "all on one page: " << page->string();
  } catch (const std::exception& error) {
    BOOST_LOG_TRIVIAL(warning) << train::kReportFile << " was not written: " << error.what();
  }
}

int run_report(const ReportCommand& command, std::ostream& out) {
  const bool one = command.runs.size() == 1;
  const std::optional<std::string> page = one ? train::render_folder(command.runs[0]) : page_of_runs(command.runs);
  check(page.has_value(), command.runs[0].string(), kNoRun);
  const std::filesystem::path path = !command.output.empty() ? command.output
                                     : one                   ? command.runs[0] / train::kReportFile
                                                             : std::filesystem::path("comparison.html");
  data::write_durably(path, *page);
  out << path.string() << "\n";
  return static_cast<int>(ExitCode::kOk);
}

}  // namespace berth::launch
