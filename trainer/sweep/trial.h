// What has come of a trial so far. Everything is read from its run folder, where it survives whatever happens to the job; a trial
// that failed, or ended the job, has berth_trial.json besides.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/store/dataset.h"
#include "trainer/run/run_state.h"

namespace berth::train {

inline constexpr const char* kTrialFile = "berth_trial.json";

// berth_trial.json.
struct TrialRecord {
  std::vector<std::string> arguments;  // of berth train, that results depend on
  int64_t starts = 0;                  // of jobs that ended in the middle of this trial, without a newer checkpoint
  int64_t step = 0;                    // of the newest checkpoint then
  int exit_code = 0;                   // of a trial that failed; 0: it has not
  std::string error;                   //

  static TrialRecord read(const std::filesystem::path& run);  // what cannot be read counts as nothing
  void write(const std::filesystem::path& run) const;
};

// A job takes all trials down that are under way: so often one of them is started beside others, then alone, until it is known that
// it is the one. The counts are of starts without a newer checkpoint.
inline constexpr int64_t kMostStarts = 3, kMostStartsAlone = 2;

struct TrialProgress {
  struct Evaluation {
    int64_t step = 0;
    nlohmann::ordered_json metrics;  // eval_…
  };
  bool complete = false;
  int64_t step = 0, total_steps = 0;
  std::vector<Evaluation> evaluations;  // in the order of their steps, but for one before the first step
  int exit_code = 0;                    // of a trial that failed
  std::string error;

  bool failed() const { return exit_code != 0; }
  // Whether it was evaluated after `share` of its steps or later, or is over.
  bool has_trained(double share) const;
  // The last evaluation of a model that was trained for `share` of its steps: the first one after those, or one before. Null: none.
  const Evaluation* last(double share) const;
  // The best by `metric` up to that one; null if no value is finite.
  const Evaluation* best(const std::string& metric, bool greater, double share) const;
};
TrialProgress read_trial(const std::filesystem::path& run);

// A finite number among the metrics of an evaluation.
std::optional<double> value_of(const nlohmann::ordered_json& metrics, const std::string& metric);

// A run that nobody goes on with: its checkpoints are removed, what it has come to stays.
void drop_checkpoints(const std::filesystem::path& run);

// Whether a model has learned nothing ("failed" runs of Mosbach et al. 2021, https://arxiv.org/abs/2006.04884): it does not tell classes
// apart (Matthews' correlation is not positive), finds no entity and no answer, or its numbers do not go with the true ones. False for
// tasks where nobody can tell.
bool is_degenerate(data::LabelShape shape, const nlohmann::ordered_json& metrics);

}  // namespace berth::train
