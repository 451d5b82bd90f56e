// What a training run has left in its folder, without what a clock or the memory says: two runs that did the same are equal in all of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace berth::test {

// By file, or by what else it is called below. Throws where a file is not there that each run has.
using RunResults = std::map<std::string, std::string>;

// The final model, metrics.jsonl, and the *_results.json that there are.
RunResults final_results(const std::filesystem::path& run);
// Those, and "tensorboard" (what TensorBoard shows), "checkpoints" (the steps that there are) and, of the newest, "optimizer" and
// "log history".
RunResults all_results(const std::filesystem::path& run);

// What is not in both, or not the same.
std::vector<std::string> differences(const RunResults& run, const RunResults& other);

// The lines of metrics.jsonl.
std::string curve(const std::filesystem::path& run);
// What a checkpoint remembers of the run's log, a line each.
std::string history(const std::filesystem::path& checkpoint);
// What berth alone keeps in the trainer_state.json of a run or checkpoint.
nlohmann::json own_state(const std::filesystem::path& folder);
// How many spans trace.json has of each kind: "rank lane: name". Throws where one of sums has no bytes.
std::map<std::string, int> traced_spans(const std::filesystem::path& run);
// Of the checkpoint-<step> in a run folder, ascending.
std::vector<int64_t> checkpoint_steps(const std::filesystem::path& run);

}  // namespace berth::test
