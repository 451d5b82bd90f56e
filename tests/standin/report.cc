#include "tests/standin/report.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/standin/memory.h"

namespace berth::standin {

Report& Report::instance() {
  static Report& report = *new Report;
  return report;
}

Report::Report() {
  if (std::getenv("STANDIN_REPORT")) std::atexit([] { instance().write(); });
}

void Report::count(const std::string& kind, const std::string& name, long by) {
  const std::lock_guard lock(mutex_);
  counts_[kind][name] += by;
}

void Report::write() {
  const std::lock_guard lock(mutex_);
  nlohmann::json report;
  for (const auto& [kind, names] : counts_) {
    long total = 0;
    for (const auto& [name, n] : names) total += n;
    report[kind] = {{"total", total}, {"by_name", names}};
  }
  report["peak_bytes"] = Memory::instance().peak(0);
  std::ofstream(std::string(std::getenv("STANDIN_REPORT")) + "." + std::to_string(getpid()) + ".json") << report.dump(1) << "\n";
}

}  // namespace berth::standin
