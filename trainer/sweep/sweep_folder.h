// A sweep's folder:
//
//   sweep.json      options, configurations and trials with what has come of them, the ensemble; replaced as a whole
//   sweep.md        the table of configurations
//   trial-<c>-seed-<s>[-fold-<f>]/   the run folder of a trial (trainer/run), with berth_trial.json (trial.h)
//   .claims/        while a job runs: which trials its groups of ranks have taken, and whether one of them was told to stop
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace berth::train {

inline constexpr const char* kSweepFile = "sweep.json";

// Groups of ranks take trials, each once, without asking each other: a folder is made by one of those who try.
class Claims {
 public:
  explicit Claims(const std::filesystem::path& sweep) : folder_(sweep / ".claims") {}
  void clear() const;  // by one rank, while the others wait
  // False if another group was first. `round`: trials are dealt out anew in each.
  bool take(size_t round, size_t trial) const;
  // All groups are to stop: where the mark of that is, and making it.
  std::filesystem::path stop_mark() const { return folder_ / "stop"; }
  void stop_all() const;

 private:
  std::filesystem::path folder_;
};

// Of the arguments of berth train ("--seed=42") those that results depend on.
std::vector<std::string> that_count(const std::vector<std::string>& arguments);

// A sweep goes on if it means what it meant: throws Error(kUsage) unless these values of `before`, an earlier sweep.json, and of `now`
// are the same: data_sha256, ranks_per_trial, halving_factor.
void check_same_sweep(const nlohmann::ordered_json& before, const nlohmann::ordered_json& now, const std::string& folder);
// And unless a trial that has begun was given these arguments.
void check_same_trial(const std::filesystem::path& run, const std::vector<std::string>& before,
                      const std::vector<std::string>& now);

// The model folders that `name` stands for: those of its ensemble if it is a sweep's folder, else itself. Error(kBadInput) for a sweep
// that has none yet.
std::vector<std::string> ensemble_members(const std::string& name);

}  // namespace berth::train
