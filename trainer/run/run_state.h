// The position of a run and all that goes on from it: what a checkpoint's trainer_state.json holds. Positions are steps and
// samples, never ranks.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/json/json.h"
#include "trainer/optim/adamw_options.h"
#include "trainer/optim/plateau.h"
#include "trainer/run/best_model.h"
#include "trainer/run/horizon.h"

namespace berth::train {

// A log history of ten values for each of a million steps.
inline constexpr data::JsonLimits kStateLimits{.bytes = uint64_t{1} << 30, .values = 32'000'000};

struct RunState {
  // Position.
  int64_t global_step = 0;
  int64_t samples_seen = 0;
  int64_t optimizer_steps = 0;   // updates made: less than global_step if steps were skipped
  int64_t skipped_in_a_row = 0;  // steps, up to this one, that were not finite
  int64_t overflowed_steps = 0;  // skipped because fp16's loss scale was too large
  int64_t last_eval_step = -1;   // the last step after which an evaluation was finished; -1: none was
  int64_t train_batch_size = 0;  // samples of a micro-batch, --auto-find-batch-size's where that was given; 0: an earlier berth's
  bool complete = false;         // the run has ended: nothing is left to train

  std::optional<LossScale> loss_scale;  // of the next step; with fp16

  Plateau plateau;  // with reduce_lr_on_plateau

  Horizon horizon;
  BestModel best;
  KeptModel kept;
  std::string not_kept;  // why there is no checkpoint of the best model; "": there is, or none was asked for

  nlohmann::ordered_json fixed_options;  // fixed_options.h; null: of a berth that did not store them

  // Steps of the checkpoints that are there, or were, only for a stopped job to be gone on with: the next one replaces them.
  std::vector<int64_t> stops;

  // The checkpoint that --resume-from-checkpoint named when this branch of the run began; "": none. As KeptModel::checkpoint.
  std::string started_from;

  nlohmann::ordered_json run_log;                                        // RunLog::state(); null: nothing logged yet
  nlohmann::ordered_json log_history = nlohmann::ordered_json::array();  // as transformers has it
  nlohmann::ordered_json environment;                                    // what bit-for-bit equality depends on: environment.h

  // The metric of the model as it is at this step; unset if it was not evaluated (or not finite).
  std::optional<double> metric_now() const;
  // Whether a checkpoint made now would be the best one kept.
  bool beats_kept() const;

  // Keys that transformers' TrainerState has carry its names; berth's own are under "berth".
  std::string to_json(double epoch) const;
  // Throws Error(kBadInput) naming `origin` and the key.
  static RunState parse(const std::string& json, const std::string& origin);
};

}  // namespace berth::train
