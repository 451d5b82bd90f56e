#include "launcher/cmd_report.h"

#include "data/check.h"
#include "trainer/report/html.h"

namespace berth::launch {

int run_report(const ReportCommand& command, std::ostream& out) {
  out << train::write_report(command.run).string() << "\n";
  return static_cast<int>(ExitCode::kOk);
}

}  // namespace berth::launch
