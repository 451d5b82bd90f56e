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
#include "trainer/run/train_options.h"

namespace berth::train {

inline constexpr const char* kTrialFile = "berth_trial.json";

// berth_trial.json.
struct TrialRecord {
  int64_t starts = 0;  // of jobs that ended in the middle of this trial, without a newer checkpoint
  int64_t step = 0;    // of the newest checkpoint then
  int exit_code = 0;   // of a trial that failed; 0: it has not
  std::string error;   //

  static TrialRecord read(const std::filesystem::path& run);  // what cannot be read counts as nothing
  void write(const std::filesystem::path& run) const;
};

// So often a job may end in the middle of a trial, without a newer checkpoint, until that is the trial's fault.
inline constexpr int64_t kMostStarts = 3;

struct TrialProgress {
  struct Evaluation {
    int64_t step = 0;
    nlohmann::ordered_json metrics;  // eval_…
  };
  bool complete = false;
  int64_t step = 0, total_steps = 0;
  bool greater = false;                 // whether a greater value of the metric is better
  std::vector<Evaluation> evaluations;  // in the order of their steps, but for one before the first step
  int exit_code = 0;                    // of a trial that failed
  std::string error;

  bool failed() const { return exit_code != 0; }
  // Whether it was evaluated after `share` of its steps or later, or is over.
  bool has_trained(double share) const;
  // The evaluation that counts for a model that was trained for `share` of its steps, up to the first evaluation after those: with
  // `best` (--load-best-model-at-end) the best by `metric` until then, else the last. Null: there is none, or no finite value.
  const Evaluation* counting(const std::string& metric, double share, bool best) const;
};
TrialProgress read_trial(const std::filesystem::path& run);

// A run that nobody goes on with: its checkpoints are removed, what it has come to stays.
void drop_checkpoints(const std::filesystem::path& run);

// Whether a model has learned nothing (Mosbach et al. 2021, https://arxiv.org/abs/2006.04884: "failed" runs): its accuracy is no
// better than that of always giving the most frequent class, `majority` of the evaluated samples; of entities and answers: none is
// right; of numbers: they do not go with the true ones. False for tasks or metrics where nobody can tell.
bool is_degenerate(data::LabelShape shape, const nlohmann::ordered_json& metrics, std::optional<double> majority);

// The share of the most frequent class among the first `most` (-1: all) samples; unset unless `shape` is one class a sample.
std::optional<double> majority_share(const data::Split& split, data::LabelShape shape, int64_t most);

}  // namespace berth::train
