// What a run tells about itself beside its models: the log's sinks, provenance.json, the closing table.
#pragma once

#include <memory>
#include <vector>

#include "trainer/report/run_log.h"
#include "trainer/run/train_setup.h"

namespace berth::train {

// Rank 0: the run's log, going on from the state's, with the sinks that --report-to names, the result files, and `more`.
std::unique_ptr<RunLog> open_log(const TrainOptions& options, const RunState& state, std::vector<std::unique_ptr<Sink>> more);

// Adds this job to the run's provenance.json. `version` is berth's, `all_options` every option with its value. A collective call.
void record_provenance(const TrainOptions& options, const TrainSetup& setup, const std::string& version,
                       const nlohmann::ordered_json& all_options, comm::Communicator& comm);

// Rank 0: the run's evaluations as a table, logged and written to training_results.md; nothing if there were none.
void write_closing_table(const std::filesystem::path& run, const nlohmann::ordered_json& log_history);

}  // namespace berth::train
