// Several runs beside each other on one page.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/report/html.h"

namespace berth::train {

// A table of the options that differ and the metrics, and the curves of all; at least two runs.
std::string render_comparison(const std::vector<RunReport>& runs);

// Of a sweep's folder and its sweep.json (trainer/sweep/sweep_results.h), which may be anything: its configurations, what each searched option
// does, its trials.
std::string render_sweep(const std::filesystem::path& folder, const nlohmann::ordered_json& sweep);

}  // namespace berth::train
