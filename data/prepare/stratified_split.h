// Cutting a validation split out of the training file, one row at a time: which row goes where is a pure function of the seed and
// of the row's number among those of its label. Nothing is kept but one counter per label.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "data/features/labels.h"

namespace berth::data {

class StratifiedSplit {
 public:
  // `counts`: rows per stratum (label). Of all rows round(fraction x rows) go to validation; each label gives its share to within
  // one row and keeps at least one row for training.
  StratifiedSplit(const LabelCounts& counts, double fraction, uint64_t seed);
  // Asked once for each row, in the order of the file. Throws Error(kBadInput) if there are more rows of a label than were
  // counted.
  bool is_validation(const std::string& stratum);

 private:
  struct Stratum {
    uint64_t index = 0;
    int64_t rows = 0, validation = 0, seen = 0;
  };
  uint64_t seed_;
  std::map<std::string, Stratum> strata_;
};

}  // namespace berth::data
