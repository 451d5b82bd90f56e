#include "trainer/check/finding.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "data/check.h"
#include "data/words.h"

namespace berth::preflight {
namespace {

// Three digits, or all before the point.
std::string short_number(double value) {
  char text[32];
  const int decimals = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  std::string number = text;
  if (number.find('.') != std::string::npos) {
    number.erase(number.find_last_not_of('0') + 1);
    if (number.ends_with('.')) number.pop_back();
  }
  return number;
}

}  // namespace

const char* level_name(Level level) {
  constexpr const char* kNames[] = {"ok", "unknown", "warning", "error"};
  return kNames[static_cast<size_t>(level)];
}

Finding unknown(const std::string& name, const std::string& why) {
  return {.level = Level::kUnknown, .name = name, .found = "not known: " + why};
}

size_t count(const Findings& findings, Level level) {
  return static_cast<size_t>(
      std::count_if(findings.begin(), findings.end(), [&](const Finding& finding) { return finding.level == level; }));
}

std::string summary(const Findings& findings) {
  std::vector<std::string> parts;
  if (const size_t n = count(findings, Level::kError)) parts.push_back(counted(n, "error"));
  if (const size_t n = count(findings, Level::kWarning)) parts.push_back(counted(n, "warning"));
  if (const size_t n = count(findings, Level::kUnknown)) parts.push_back(concat(n, " not known"));
  parts.push_back(concat(count(findings, Level::kOk), " ok"));
  return joined(parts);
}

nlohmann::ordered_json json_of(const Findings& findings) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Finding& finding : findings)
    rows.push_back(
        {{"level", level_name(finding.level)}, {"name", finding.name}, {"found", finding.found}, {"remedy", finding.remedy}});
  return {{"ok", count(findings, Level::kError) == 0}, {"summary", summary(findings)}, {"findings", rows}};
}

std::string in_words(double seconds) {
  if (seconds < 99.5e-6) return concat(short_number(1e6 * seconds), " us");
  if (seconds < 0.0995) return concat(short_number(1e3 * seconds), " ms");
  if (seconds < 100) return concat(short_number(seconds), " s");
  if (seconds < 100 * 60) return concat(short_number(std::round(seconds / 60)), " min");
  return seconds < 100 * 3600 ? concat(short_number(std::round(seconds / 360) / 10), " h")
                              : concat(short_number(std::round(seconds / 8640) / 10), " days");
}

std::string bytes_in_words(double bytes) {
  if (bytes < 1e6) return concat(short_number(bytes / 1e3), " kB");
  return bytes < 1e9 ? concat(short_number(bytes / 1e6), " MB") : concat(short_number(bytes / 1e9), " GB");
}

std::string percent(double share) {
  const double value = 100 * share;
  return value > 0 && value < 0.1 ? "under 0.1 %" : concat(short_number(std::round(10 * value) / 10), " %");
}

}  // namespace berth::preflight
