// sweep.json: what a sweep is, and what has come of it.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <vector>

#include "trainer/sweep/ranking.h"
#include "trainer/sweep/sweep_plan.h"

namespace berth::train {

// `head` (how the sweep was asked for) and the plan's trials.
nlohmann::ordered_json describe_sweep(const SweepPlan& plan, nlohmann::ordered_json head);

// Adds to that the configurations as they are ranked, the state of each trial, and the ensemble.
void add_results(nlohmann::ordered_json& sweep, const SweepPlan& plan, const std::vector<TrialResult>& results,
                 const std::vector<Summary>& ranked, const std::vector<size_t>& ensemble);

}  // namespace berth::train
