// What a process did, counted: with STANDIN_REPORT=prefix, written to <prefix>.<process>.json when it ends.
#pragma once

#include <map>
#include <mutex>
#include <string>

namespace berth::standin {

class Report {
 public:
  static Report& instance();
  // kind: "launches", "synchronisations", …; each name within it is counted, and the kind's total is their sum.
  void count(const std::string& kind, const std::string& name, long by = 1);

 private:
  Report();
  void write();
  std::mutex mutex_;
  std::map<std::string, std::map<std::string, long>> counts_;
};

}  // namespace berth::standin
