#include "data/prepare/stratified_split.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "data/philox.h"
#include "data/pipeline/sampler.h"

namespace berth::data {

ShuffledStrata::ShuffledStrata(const LabelCounts& counts, uint64_t seed) : seed_(seed) {
  for (const auto& [name, count] : counts) strata_.emplace(name, Stratum{strata_.size(), count, 0});
}

ShuffledStrata::Place ShuffledStrata::next(const std::string& name) {
  const auto found = strata_.find(name);
  check(found != strata_.end() && found->second.seen < found->second.rows, "the file changed while it was read");
  Stratum& stratum = found->second;
  return {stratum.index, Permutation(stratum.rows, seed_, stratum.index, Purpose::kSplit)(stratum.seen++)};
}

StratifiedSplit::StratifiedSplit(const LabelCounts& counts, double fraction, uint64_t seed) : strata_(counts, seed) {
  struct Remainder {
    double part;
    size_t stratum;
    int64_t rows;
  };
  std::vector<Remainder> remainders;
  int64_t rows = 0, taken = 0;
  for (const auto& [name, count] : counts) {
    const double share = fraction * static_cast<double>(count);
    const auto whole = static_cast<int64_t>(std::floor(share));
    remainders.push_back({share - static_cast<double>(whole), validation_.size(), count});
    validation_.push_back(whole);
    rows += count;
    taken += whole;
  }
  // The rows still missing go to the labels that rounding down cost most.
  std::stable_sort(remainders.begin(), remainders.end(), [](const Remainder& a, const Remainder& b) { return a.part > b.part; });
  const int64_t wanted = std::llround(fraction * static_cast<double>(rows));
  for (const Remainder& remainder : remainders) {
    int64_t& validation = validation_[remainder.stratum];
    if (taken < wanted && validation + 1 < remainder.rows) ++validation, ++taken;
  }
}

bool StratifiedSplit::is_validation(const std::string& stratum) {
  const auto [index, place] = strata_.next(stratum);
  return place < validation_[index];
}

StratifiedFolds::StratifiedFolds(const LabelCounts& counts, int folds, uint64_t seed) : strata_(counts, seed), folds_(folds) {
  int64_t rows = 0;
  for (const auto& [name, count] : counts) {
    before_.push_back(rows);
    rows += count;
  }
  check(rows >= folds, "--folds ", folds, ": there are only ", rows, " rows, documents or contexts to make folds of");
}

int StratifiedFolds::fold_of(const std::string& stratum) {
  const auto [index, place] = strata_.next(stratum);
  return static_cast<int>((before_[index] + place) % folds_);
}

}  // namespace berth::data
