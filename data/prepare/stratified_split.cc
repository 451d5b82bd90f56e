#include "data/prepare/stratified_split.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "data/check.h"
#include "data/philox.h"
#include "data/pipeline/sampler.h"

namespace berth::data {

StratifiedSplit::StratifiedSplit(const LabelCounts& counts, double fraction, uint64_t seed) : seed_(seed) {
  struct Remainder {
    double part;
    Stratum* stratum;
  };
  std::vector<Remainder> remainders;
  int64_t rows = 0, taken = 0;
  for (const auto& [name, count] : counts) {
    const double share = fraction * static_cast<double>(count);
    const auto whole = static_cast<int64_t>(std::floor(share));
    const auto added = strata_.emplace(name, Stratum{strata_.size(), count, whole, 0}).first;
    remainders.push_back({share - static_cast<double>(whole), &added->second});
    rows += count;
    taken += whole;
  }
  // The rows still missing go to the labels that rounding down cost most.
  std::stable_sort(remainders.begin(), remainders.end(), [](const Remainder& a, const Remainder& b) { return a.part > b.part; });
  const int64_t wanted = std::llround(fraction * static_cast<double>(rows));
  for (const Remainder& remainder : remainders) {
    Stratum& stratum = *remainder.stratum;
    if (taken < wanted && stratum.validation + 1 < stratum.rows) ++stratum.validation, ++taken;
  }
}

bool StratifiedSplit::is_validation(const std::string& name) {
  const auto found = strata_.find(name);
  check(found != strata_.end() && found->second.seen < found->second.rows, "the file changed while it was read");
  Stratum& stratum = found->second;
  return Permutation(stratum.rows, seed_, stratum.index, Purpose::kSplit)(stratum.seen++) < stratum.validation;
}

}  // namespace berth::data
