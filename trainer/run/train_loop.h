// A training run from start, or from its newest checkpoint, to its end.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/report/report.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/train_options.h"

namespace berth::train {

// What the launcher adds to a run.
struct TrainHooks {
  std::function<bool()> stop;  // whether this rank wishes to stop: a signal came
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();  // of the job, or of the trial
  // When the job is ended from outside: it saves and stops before. Rank 0's counts.
  std::optional<std::chrono::steady_clock::time_point> end = {};
  std::vector<std::unique_ptr<Sink>> sinks = {};  // rank 0: further listeners, e.g. the progress line
  std::string version = {};                       // of berth, for provenance
  nlohmann::ordered_json options = {};            // all options, for provenance
  std::vector<std::string> changed_options = {};  // those of them that are not as by default
  std::string command = {};                       // "berth train --model …", for a shell, for the model card
};

enum class TrainOutcome { kDone, kStoppedEarly };

// A collective call. kStoppedEarly: all ranks agreed to stop, and a verified checkpoint was written. Throws comm::AgreedError for
// bad input, Error(kDiverged) for a step that was not finite or replicas that differ, Error(kInternal) if the checkpoint of an
// early stop could not be written.
TrainOutcome train(const TrainOptions& options, const RunFolder& folder, comm::Communicator& comm, TrainHooks hooks);

}  // namespace berth::train
