// report.html: a run on one page, which needs nothing but itself: no scripts, no fonts, no network. Light and dark.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/report/metrics_file.h"

namespace berth::train {

struct RunReport {
  std::string name;
  std::vector<LogRecord> records;     // metrics.jsonl
  nlohmann::ordered_json results;     // all_results.json; null if there is none yet
  nlohmann::ordered_json provenance;  // provenance.json; null if there is none
};

std::string render_html(const RunReport& report);

// Reads `run`'s files, writes run/report.html and returns its path. Nothing if `run` has neither metrics nor results yet.
std::optional<std::filesystem::path> write_report(const std::filesystem::path& run);

}  // namespace berth::train
