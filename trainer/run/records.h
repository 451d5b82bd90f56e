// What a run tells about itself beside its models: the log's sinks, provenance.json, the closing table.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "trainer/checkpoint/provenance.h"
#include "trainer/report/run_log.h"
#include "trainer/run/train_setup.h"

namespace berth::train {

// Rank 0: the run's log, going on from the state's, with the sinks that --report-to names, the result files, and `more`.
std::unique_ptr<RunLog> open_log(const TrainOptions& options, const RunState& state, std::vector<std::unique_ptr<Sink>> more);

// What provenance.json says of this job; complete on rank 0. `version` is berth's, `all_options` every option with its value. A
// collective call.
Provenance provenance_of(const TrainSetup& setup, const std::string& version, const nlohmann::ordered_json& all_options,
                         comm::Communicator& comm);

// Rank 0: calls `write`, which makes the run's record `name`. False, with a warning, if it throws: the run goes on without.
bool try_to_record(const std::filesystem::path& name, const std::function<void()>& write);

// Rank 0: the run's evaluations as a table, logged and written to training_results.md; nothing if there were none.
void write_closing_table(const std::filesystem::path& run, const nlohmann::ordered_json& log_history);

}  // namespace berth::train
