// Cutting a validation split, or folds, out of the training file, one row at a time: which row goes where is a pure function of the seed
// and of the row's number among those of its label. Nothing is kept but one counter per label.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "data/features/labels.h"

namespace berth::data {

// The rows of each stratum (label) in an order drawn from the seed.
class ShuffledStrata {
 public:
  // `counts`: rows per stratum.
  ShuffledStrata(const LabelCounts& counts, uint64_t seed);

  struct Place {
    size_t stratum = 0;  // index among `counts`
    int64_t place = 0;   // among its rows, from 0 on
  };
  // Asked once for each row, in the order of the file. Throws Error(kBadInput) if there are more rows of a stratum than were counted.
  Place next(const std::string& stratum);

 private:
  struct Stratum {
    size_t index = 0;
    int64_t rows = 0, seen = 0;
  };
  uint64_t seed_;
  std::map<std::string, Stratum> strata_;
};

class StratifiedSplit {
 public:
  // Of all rows round(fraction x rows) go to validation; each label gives its share to within one row and keeps at least one row for
  // training.
  StratifiedSplit(const LabelCounts& counts, double fraction, uint64_t seed);
  // As ShuffledStrata::next.
  bool is_validation(const std::string& stratum);

 private:
  ShuffledStrata strata_;
  std::vector<int64_t> validation_;  // rows of each stratum
};

// Folds for cross-validation, as scikit-learn's StratifiedKFold promises: of each stratum, and of all rows, any two folds have as many
// to within one.
class StratifiedFolds {
 public:
  // Throws Error(kBadInput) if there are fewer rows than folds.
  StratifiedFolds(const LabelCounts& counts, int folds, uint64_t seed);
  // From 0 on; as ShuffledStrata::next.
  int fold_of(const std::string& stratum);

 private:
  ShuffledStrata strata_;
  int folds_;
  std::vector<int64_t> before_;  // rows of the strata before each
};

}  // namespace berth::data
