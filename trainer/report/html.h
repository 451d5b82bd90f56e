// report.html: a run, or several beside each other, on one page, which needs nothing but itself: no scripts, no fonts, no network. Light and dark, at
// the widths of desks and telephones, and on paper.
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
  std::vector<LogRecord> records = {};             // metrics.jsonl
  nlohmann::ordered_json results = nullptr;        // all_results.json; null if there is none yet
  nlohmann::ordered_json provenance = nullptr;     // provenance.json; null if there is none
  nlohmann::ordered_json eval_analysis = nullptr;  // eval_analysis.json, test_analysis.json; null if there is none
  nlohmann::ordered_json test_analysis = nullptr;
};

std::string render_html(const RunReport& report);

// What a run folder has of it. Nothing if that has neither metrics nor results yet. Throws Error(kBadInput) for a damaged file.
std::optional<RunReport> read_run(const std::filesystem::path& run);

// The page of a run's folder, or of a sweep's (with sweep.json). Nothing, and errors, as read_run().
std::optional<std::string> render_folder(const std::filesystem::path& folder);

inline constexpr const char* kReportFile = "report.html";

// Writes that page into the folder and returns its path.
std::optional<std::filesystem::path> write_report(const std::filesystem::path& run);

}  // namespace berth::train
