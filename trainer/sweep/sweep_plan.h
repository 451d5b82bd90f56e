// What a sweep trains: configurations x folds x seeds, and how much of each when configurations are halved. Pure functions of the
// options, so that any job, on any number of ranks, means the same trials by the same numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/sweep/search_space.h"

namespace berth::train {

struct SweepOptions {
  std::vector<std::string> search;  // parse_search()
  int64_t num_configurations = 0;   // configurations drawn at random; 0: the grid
  int64_t num_seeds = 1;            // runs of each configuration, with seed, seed + 1, …
  int64_t ranks_per_trial = 1;
  int64_t halving_factor =
      0;                  // successive halving: the best 1 / halving_factor of the configurations go on; 0: all train to the end
  int64_t keep_best = 5;  // trials whose models stay, and are the ensemble

  void validate() const;  // Error(kUsage)
};

// One run of berth train: a configuration with a seed, on a fold.
struct Trial {
  size_t configuration = 0;  // of SweepPlan::configurations
  uint64_t seed = 0;
  std::optional<int> fold = {};  // of data with folds

  bool operator==(const Trial&) const = default;
};
// "trial-3-seed-42-fold-1": the run's folder, the same however large the sweep is.
std::string name_of(const Trial& trial);

struct SweepPlan {
  std::vector<Configuration> configurations;
  std::vector<Trial> trials;  // by seed, then fold, then configuration
  int64_t halving_factor = 0;

  // Successive halving (Jamieson & Talwalkar 2016, https://arxiv.org/abs/1502.07943): of n configurations all train for a share
  // halving_factor^-r of their steps, where r + 1 is the number of rungs and the largest so that one is left for the last; those that
  // go on from a rung train halving_factor times as long. Without halving there is one rung.
  size_t rungs() const;
  double share(size_t rung) const;              // of a run's steps, (0, 1]
  size_t configurations_of(size_t rung) const;  // how many train to this rung
  std::vector<size_t> trials_of(const std::vector<size_t>& configurations) const;
};

// `seed`: of the first run of each configuration, and of the draws. `folds`: of the data; 0: none. Throws Error(kUsage).
SweepPlan plan_sweep(const SweepOptions& options, uint64_t seed, int folds);

}  // namespace berth::train
