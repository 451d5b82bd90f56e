// The position of a run and all that goes on from it: what a checkpoint's trainer_state.json holds. Positions are steps and
// samples, never ranks.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "trainer/run/best_model.h"
#include "trainer/run/horizon.h"

namespace berth::train {

struct RunState {
  // Position.
  int64_t global_step = 0;
  int64_t samples_seen = 0;
  int64_t optimizer_steps = 0;  // updates made: less than global_step if steps were skipped
  int64_t last_eval_step = 0;   // the last step after which an evaluation was finished
  bool complete = false;        // the run has ended: nothing is left to train

  Horizon horizon;
  BestModel best;

  nlohmann::ordered_json run_log;                                        // RunLog::state(); null: nothing logged yet
  nlohmann::ordered_json log_history = nlohmann::ordered_json::array();  // as transformers has it
  nlohmann::ordered_json environment;                                    // what bit-for-bit equality depends on: environment.h

  // Keys that transformers' TrainerState has carry its names; berth's own are under "berth".
  std::string to_json(double epoch, const std::string& best_checkpoint) const;
  // Throws Error(kBadInput) naming `origin` and the key.
  static RunState parse(const std::string& json, const std::string& origin);
};

}  // namespace berth::train
