// Cross-validation over a data set whose training split is cut into folds.
#pragma once

#include <memory>

#include "data/store/dataset.h"

namespace berth::data {

// Parts of the training split that share what they have read of the file. The samples of each are numbered anew, as are their sequences
// and questions: it is what it would be if its rows alone had been prepared.
struct FoldSplits {
  std::unique_ptr<Split> others;  // the samples of all other folds: to train on
  std::unique_ptr<Split> fold;    // those of this fold, without changed copies of rows (augmentation): to evaluate on
};

// Throws Error(kBadInput): the data set has no folds, or this one has no samples. Throws Error(kUsage): there is no such fold.
FoldSplits open_fold(const Dataset& dataset, int fold);

}  // namespace berth::data
