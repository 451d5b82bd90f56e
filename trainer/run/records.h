// What a run tells about itself beside its models: the log's sinks, provenance.json, the closing table.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "trainer/checkpoint/provenance.h"
#include "trainer/report/run_log.h"
#include "trainer/run/train_setup.h"
#include "trainer/use/evaluate.h"

namespace berth::train {

// Rank 0: the run's log, going on from the state's, with the sinks that --report-to names, the result files, and `more`.
std::unique_ptr<RunLog> open_log(const TrainOptions& options, const RunState& state, std::vector<std::unique_ptr<Sink>> more);

// What a checkpoint is about to say that no later job logs again is on disk, or there is a warning: TensorBoard's records until now. (Those of
// metrics.jsonl are in the checkpoint, too.) On any thread.
void sync_log(const TrainOptions& options);

// The sum over all ranks of what their GPUs can do in this run's precision, in FLOP/s (peak_flops.h); NaN: not known, or CPUs. A
// collective call.
double peak_flops_of_ranks(const ModelOptions& options, comm::Communicator& comm);
// The most memory that this rank has had.
MemoryPeak memory_peak(const comm::Communicator& comm);
// The most that any rank has had. A collective call.
MemoryPeak memory_peak_of_ranks(comm::Communicator& comm);

// On rank 0: where each rank runs. A collective call.
std::vector<std::string> hosts_of_ranks(comm::Communicator& comm);
// What provenance.json says of this job, whose ranks are on `hosts`; complete on rank 0. `version` is berth's, `all_options` every option with its value.
Provenance provenance_of(const TrainSetup& setup, const std::string& version, const nlohmann::ordered_json& all_options,
                         std::vector<std::string> hosts, const comm::Communicator& comm);

// Calls `write`, which makes the run's record `name`. False, with a warning, if it throws: the run goes on without.
bool try_to_record(const std::filesystem::path& name, const std::function<void()>& write);

// Rank 0's provenance.json: where it could not be written, a warning, and the next write() tries again.
class ProvenanceFile {
 public:
  ProvenanceFile(std::filesystem::path run, Provenance provenance) : run_(std::move(run)), provenance_(std::move(provenance)) {}
  void write();  // nothing if it is written
  void write(const JobSeconds& seconds);

 private:
  std::filesystem::path run_;
  Provenance provenance_;
  bool written_ = false;
};

// Rank 0: of a complete run, the options that are other now than in its provenance.json and do nothing any more, as a warning.
void tell_idle_options(const std::filesystem::path& run, const nlohmann::ordered_json& all_options);

// Rank 0: what the log of a run in this folder has after `step`, where it goes on from: the steps of a job that was killed, and their
// seconds. To be called before the log is opened.
JobSeconds lost_after(int64_t step, int64_t global_batch, const std::filesystem::path& run);

// Rank 0: the run's README.md (card.h has the arguments), unless the user has one there.
void write_card(const TrainOptions& options, const TrainSetup& setup, const std::string& command, const std::string& version,
                int64_t model_step);

// Rank 0: what an evaluation of the model after `step` shows, as eval_analysis.json.
void write_analysis(const std::filesystem::path& run, const data::Split& split, int64_t step, const EvalResult& result);

// Rank 0: the run's evaluations as a table, logged and written to training_results.md; nothing if there were none.
void write_closing_table(const std::filesystem::path& run, const nlohmann::ordered_json& log_history);

}  // namespace berth::train
