// What a check has found, in words for people.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace berth::preflight {

// kUnknown: what there is to find could not be found out.
enum class Level { kOk, kUnknown, kWarning, kError };
const char* level_name(Level level);  // "ok", "unknown", "warning", "error"

struct Finding {
  Level level = Level::kOk;
  std::string name = {};    // of the check: "memory"
  std::string found = {};   // without a full stop at its end, as the next
  std::string remedy = {};  // "": none is needed, or `found` says it
};
using Findings = std::vector<Finding>;

Finding unknown(const std::string& name, const std::string& why);  // "not known: why"

size_t count(const Findings& findings, Level level);
std::string summary(const Findings& findings);  // "2 errors, 1 warning, 9 ok"
// {"ok": no error, "summary": …, "findings": [{"level", "name", "found", "remedy"}, …]}.
nlohmann::ordered_json json_of(const Findings& findings);

// For estimates and sizes, in two or three digits: "0.4 s", "52 s", "12 min", "3.5 h"; "4.1 GB"; "1.2 %".
std::string in_words(double seconds);
std::string bytes_in_words(double bytes);
std::string percent(double share);

}  // namespace berth::preflight
