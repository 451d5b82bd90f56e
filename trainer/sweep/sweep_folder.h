// A sweep's folder:
//
//   sweep.json      options, configurations and trials with what has come of them, the ensemble; replaced as a whole
//   sweep.md        the table of configurations
//   trial-<n>/      the run folder of trial n (trainer/run), with berth_trial.json (trial.h)
//   .claims/        while a job runs: which trials its groups of ranks have taken
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace berth::train {

inline constexpr const char* kSweepFile = "sweep.json";

std::filesystem::path trial_folder(const std::filesystem::path& sweep, size_t trial);

// Groups of ranks take trials, each once, without asking each other: a folder is made by one of those who try.
class Claims {
 public:
  explicit Claims(const std::filesystem::path& sweep) : folder_(sweep / ".claims") {}
  void clear() const;  // by one rank, while the others wait
  // False if another group was first. `round`: trials are dealt out anew in each.
  bool take(size_t round, size_t trial) const;

 private:
  std::filesystem::path folder_;
};

// A sweep goes on if it means what it meant: throws Error(kUsage) unless the trials of `before`, an earlier sweep.json, are the first
// of `now`, with the same options of berth train but those that change no result.
void check_same_sweep(const nlohmann::ordered_json& before, const nlohmann::ordered_json& now, const std::string& folder);

// The model folders that `name` stands for: those of its ensemble if it is a sweep's folder, else itself. Error(kBadInput) for a sweep
// that has none yet.
std::vector<std::string> ensemble_members(const std::string& name);

}  // namespace berth::train
