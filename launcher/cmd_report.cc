#include "launcher/cmd_report.h"

#include "data/check.h"
#include "trainer/report/html.h"

namespace berth::launch {

int run_report(const ReportCommand& command, std::ostream& out) {
  const auto page = train::write_report(command.run);
  check(page.has_value(), command.run.string(),
        " has neither metrics.jsonl nor all_results.json: it is not a run folder, or nothing has been logged yet");
  out << page->string() << "\n";
  return static_cast<int>(ExitCode::kOk);
}

}  // namespace berth::launch
