// The position of a run and all that goes on from it: what a checkpoint's trainer_state.json holds. Positions are steps and
// samples, never ranks.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "trainer/run/run_plan.h"
#include "trainer/run/train_options.h"

namespace berth::train {

struct RunState {
  // Position.
  int64_t global_step = 0;
  int64_t samples_seen = 0;
  int64_t optimizer_steps = 0;  // updates made: less than global_step if steps were skipped
  int64_t last_eval_step = 0;   // the last step after which an evaluation was finished
  bool complete = false;        // the run has ended: nothing is left to train

  // What the rest of the run depends on, and a resume must agree with.
  int64_t total_steps = 0;
  int64_t warmup_steps = 0;
  std::string lr_scheduler_type;
  int64_t global_batch = 0;
  int64_t num_samples = 0;
  bool drop_last = false;
  uint64_t seed = 0, data_seed = 0;

  // Best model and early stopping.
  std::optional<double> best_metric;
  int64_t best_step = 0;
  int64_t evaluations_without_improvement = 0;

  std::string run_log;                 // RunLog::state()
  std::string log_history = "[]";      // a JSON array, as transformers has it
  nlohmann::ordered_json environment;  // what bit-for-bit equality depends on: environment.h

  // Keys that transformers' TrainerState has carry its names; berth's own are under "berth".
  std::string to_json(double epoch, const std::string& best_checkpoint) const;
  // Throws Error(kBadInput) naming `origin` and the key.
  static RunState parse(const std::string& json, const std::string& origin);

  // Takes over the plan's numbers for a fresh run.
  void begin(const RunPlan& plan, const TrainOptions& options);
  // Throws Error(kUsage) if `plan` would change the order of samples (num_samples, seeds, drop_last, global batch) or the horizon
  // (total steps, warmup, schedule) without being allowed to; says which option to give.
  void check_resumable(const RunPlan& plan, const TrainOptions& options) const;
};

}  // namespace berth::train
