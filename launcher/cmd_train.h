// berth train
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "launcher/config_file.h"
#include "launcher/ranks.h"
#include "trainer/run/train_loop.h"
#include "trainer/run/train_options.h"

namespace berth::launch {

struct TrainCommand {
  train::TrainOptions options;
  DeviceOptions device;
  bool disable_tqdm = false;  // no progress bar, plain lines
};

// What is written down of how a run was asked for.
struct TrainTexts {
  std::string command_line;                  // as given: for berth.log
  std::string shell_command;                 // CommandLine::for_shell: for the model card
  nlohmann::ordered_json all_options;        // for provenance.json
  std::vector<std::string> changed_options;  // those of them that are not as by default
  std::vector<ConfigRemark> remarks = {};
};

// When the job is ended from outside: as --max-time says, or the batch system or its script, which know the job's limit (BERTH_END_TIME,
// SLURM_JOB_END_TIME: seconds since 1970); the first of them.
std::optional<std::chrono::steady_clock::time_point> end_of_job(std::optional<double> max_time);

// Throws Error(kUsage) while there is a file STOP in the folder.
void check_not_stopped(const std::filesystem::path& folder);

// A run on the ranks of `rank.comm`, which the job spends time on since `begin`, with what listens to it on rank 0 and what stops it. `begins` is called on every rank once the run
// folder is its own.
train::TrainOutcome train_on(Rank& rank, const TrainCommand& command, const TrainTexts& texts,
                             std::chrono::steady_clock::time_point begin, const std::function<bool()>& stop,
                             std::vector<std::unique_ptr<train::Sink>> sinks, const std::function<void()>& begins);

// Returns the exit code.
int run_train(const TrainCommand& command, const TrainTexts& texts, const std::string& log_level);

}  // namespace berth::launch
