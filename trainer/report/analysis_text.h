// An evaluation's analysis (trainer/tasks/analysis.h) as people read it in a terminal or a log.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace berth::train {

// Lines: the classes, types or labels, the confusion matrix of few classes, exact match and F1 by length of answers, the surest mistakes.
// "" of null, or of what has none of them.
std::string analysis_text(const nlohmann::ordered_json& analysis);

}  // namespace berth::train
