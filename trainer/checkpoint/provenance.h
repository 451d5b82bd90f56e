// provenance.json of a run folder: what the result was made of, and by which jobs.
//
//   {"berth_version": "0.1.0", "options": {…}, "changed_options": ["learning-rate", …], "data": {"train.h5": "<sha256>", …}, "model": {"model.safetensors": "<sha256>",
//   …}, "label_weights": {"ham": 0.57, …},
//    "jobs": [{"slurm_job_id": "17", "hosts": ["n1", "n2"], "device": "NVIDIA H200, driver …",
//      "ranks": 4, "train_batch_size": 16, "started": "2026-01-01T00:00:00Z", "from_step": 0,
//      "seconds": {"start": 2.1, "train": 312.5, "wait": 6.1, "evaluation": 8.2, "checkpoint": 0.4, "lost": 0}, "lost_steps": 0,
//      "step_seconds": {"data": 0.2, "forward": 101.9, "backward": 190.3, "reduce": 6.4, "optimizer": 17.5, "reduce_overlapped": 9.1}}, …]}
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace berth::train {

// Where the time of its steps went, on rank 0; what is left of it was logging. Not of a GPU, beside which a host's times say nothing.
struct StepSeconds {
  double data = 0;  // until it had been read
  double forward = 0;
  double backward = 0;
  double reduce = 0;             // waiting: for other ranks, and for reductions that backward did not hide
  double optimizer = 0;          // with the gradient's norm and zeroes
  double reduce_overlapped = 0;  // reductions beside backward: counted there, too
};

// Where a job's time went, on rank 0.
struct JobSeconds {
  double start = 0;       // from the process's begin to the first step
  double train = 0;       // steps, without `wait`
  double wait = 0;        // in steps: for the slowest rank, on average over the ranks
  double evaluation = 0;  //
  double checkpoint = 0;  // in which training stood still for checkpoints and the final model
  // Of an earlier job that was killed: steps that are not in the checkpoint which this one goes on from, and what they took, as the log
  // has it.
  double lost = 0;
  int64_t lost_steps = 0;
  std::optional<StepSeconds> steps = {};  // of what `train` and `wait` are
};

// One job of the chain that made a run.
struct JobRecord {
  std::string slurm_job_id;  // "" outside Slurm
  std::vector<std::string> hosts;
  std::string device;  // what rank 0 computes on, with the versions that its numbers depend on
  int64_t ranks = 0;
  int64_t train_batch_size = 0;  // samples of a micro-batch
  std::string started;           // UTC
  int64_t from_step = 0;         // where it took up the run
  JobSeconds seconds = {};       // so far
};

struct Provenance {
  std::string berth_version;
  nlohmann::ordered_json options;
  std::vector<std::string> changed_options = {};                 // those that are not as by default
  std::map<std::string, std::string> data_sha256, model_sha256;  // by file name
  nlohmann::ordered_json label_weights = {};                     // of the loss, by label; null: none were asked for
  JobRecord job;
};

// Writes RUN/provenance.json; jobs that an earlier one lists stay before this one, which replaces what it wrote before, if `job.from_step`
// goes on from them (is not 0). Throws Error(kInternal) if it cannot be written. A damaged earlier file is replaced.
void write_provenance(const std::filesystem::path& run, const Provenance& provenance);

}  // namespace berth::train
