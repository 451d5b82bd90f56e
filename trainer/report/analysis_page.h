// What an evaluation has shown (trainer/tasks/analysis.h) as sections of a page.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace berth::train {

// `analysis` may be anything: what is not as described is left out. null: "".
std::string render_analysis(const nlohmann::ordered_json& analysis);

}  // namespace berth::train
