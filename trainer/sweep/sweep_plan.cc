#include "trainer/sweep/sweep_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/check.h"

namespace berth::train {

namespace {

constexpr int64_t kMostTrials = 1'000'000;
constexpr int64_t kMostRanks = 1 << 24;

}  // namespace

void SweepOptions::validate() const {
  check_range("--num-configurations", num_configurations, 0, kMostConfigurations);
  check_range("--num-seeds", num_seeds, 1, kMostTrials);
  check_range("--ranks-per-trial", ranks_per_trial, 1, kMostRanks);
  check_usage(halving_factor == 0 || (halving_factor >= 2 && halving_factor <= kMostConfigurations),
              "--halving-factor must be 2 or more, or 0 for none; got ", halving_factor);
  check_range("--keep-best", keep_best, 1, kMostTrials);
}

std::string name_of(const Trial& trial) {
  return concat("trial-", trial.configuration, "-seed-", trial.seed, trial.fold ? concat("-fold-", *trial.fold) : "");
}

size_t SweepPlan::rungs() const {
  size_t rungs = 1;
  if (halving_factor < 2) return rungs;
  for (size_t left = configurations.size(); left >= static_cast<size_t>(halving_factor);
       left /= static_cast<size_t>(halving_factor))
    ++rungs;
  return rungs;
}

double SweepPlan::share(size_t rung) const {
  return std::pow(static_cast<double>(std::max<int64_t>(1, halving_factor)), -static_cast<double>(rungs() - 1 - rung));
}

size_t SweepPlan::configurations_of(size_t rung) const {
  size_t count = configurations.size();
  for (size_t r = 0; r < rung; ++r) count /= static_cast<size_t>(halving_factor);
  return count;
}

std::vector<size_t> SweepPlan::trials_of(const std::vector<size_t>& some) const {
  std::vector<bool> wanted(configurations.size());
  for (const size_t configuration : some) wanted[configuration] = true;
  std::vector<size_t> found;
  for (size_t trial = 0; trial < trials.size(); ++trial)
    if (wanted[trials[trial].configuration]) found.push_back(trial);
  return found;
}

SweepPlan plan_sweep(const SweepOptions& options, uint64_t seed, int folds) {
  const std::vector<SearchParameter> parameters = parse_searches(options.search);
  SweepPlan plan{
      .configurations = options.num_configurations > 0 ? draw(parameters, options.num_configurations, seed) : grid(parameters),
      .trials = {},
      .halving_factor = options.halving_factor};
  check_usage(seed <= std::numeric_limits<uint64_t>::max() - static_cast<uint64_t>(options.num_seeds), "--seed ", seed,
              ": there are not so many seeds after it");
  const int64_t runs = options.num_seeds * std::max(1, folds), configurations = static_cast<int64_t>(plan.configurations.size());
  check_usage(runs <= kMostTrials / configurations, "the sweep has more than ", kMostTrials, " trials");
  check_usage(options.halving_factor == 0 || configurations >= options.halving_factor, "--halving-factor ",
              options.halving_factor, " needs as many configurations at least; --search makes ", configurations);
  for (int64_t s = 0; s < options.num_seeds; ++s)
    for (int fold = 0; fold < std::max(1, folds); ++fold)
      for (size_t c = 0; c < plan.configurations.size(); ++c)
        plan.trials.push_back({.configuration = c,
                               .seed = seed + static_cast<uint64_t>(s),
                               .fold = folds > 0 ? std::optional(fold) : std::nullopt});
  return plan;
}

}  // namespace berth::train
