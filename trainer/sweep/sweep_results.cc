#include "trainer/sweep/sweep_results.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

Json as_json(const Configuration& configuration) {
  Json options = Json::object();
  for (const auto& [option, value] : configuration) options[option] = value;
  return options;
}

Json number(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

}  // namespace

Json describe_sweep(const SweepPlan& plan, Json sweep) {
  Json& trials = sweep["trials"] = Json::array();
  for (size_t trial = 0; trial < plan.trials.size(); ++trial) {
    const Trial& it = plan.trials[trial];
    Json& row = trials.emplace_back(Json{{"folder", name_of(it)},
                                         {"configuration", it.configuration},
                                         {"options", as_json(plan.configurations[it.configuration])},
                                         {"seed", it.seed}});
    if (it.fold) row["fold"] = *it.fold;
  }
  return sweep;
}

void add_results(Json& sweep, const SweepPlan& plan, const std::vector<TrialResult>& results, const std::vector<Summary>& ranked,
                 const std::vector<size_t>& ensemble) {
  Json& configurations = sweep["configurations"] = Json::array();
  for (const Summary& summary : ranked)
    configurations.push_back({{"configuration", summary.configuration},
                              {"options", as_json(plan.configurations[summary.configuration])},
                              {"share_of_steps", plan.share(summary.rung)},
                              {"runs", summary.runs},
                              {"mean", number(summary.mean)},
                              {"sd", number(summary.sd)},
                              {"best", number(summary.best)},
                              {"best_trial", summary.best_trial ? Json(name_of(plan.trials[*summary.best_trial])) : Json()},
                              {"degenerate", summary.degenerate},
                              {"failed", summary.failed}});
  for (size_t trial = 0; trial < results.size(); ++trial) {
    const TrialResult& result = results[trial];
    Json& row = sweep["trials"][trial];
    row["state"] = result.exit_code != 0 ? "failed" : result.done ? "done" : "open";
    if (result.exit_code != 0) row.update(Json{{"exit_code", result.exit_code}, {"error", result.error}});
    if (result.value) row.update(Json{{"step", result.step}, {"degenerate", result.degenerate}, {"metrics", result.metrics}});
  }
  Json& members = sweep["ensemble"] = Json::array();
  for (const size_t trial : ensemble) members.push_back(name_of(plan.trials[trial]));
}

}  // namespace berth::train
