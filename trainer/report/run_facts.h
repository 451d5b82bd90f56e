// A run's page but for its curves and what it has learned: where time went, jobs, options, origins.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace berth::train {

// All of provenance.json, which may be anything; null: "".
std::string render_time(const nlohmann::ordered_json& provenance);     // of all jobs, and of the steps' parts
std::string render_jobs(const nlohmann::ordered_json& provenance);     // the chain of jobs
std::string render_options(const nlohmann::ordered_json& provenance);  // those that are not as by default; the others folded
std::string render_origins(const nlohmann::ordered_json& provenance);  // version, hashes; folded

}  // namespace berth::train
