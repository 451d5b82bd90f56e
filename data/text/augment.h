// More training texts made out of those that are there: words swapped, deleted, or replaced by what a masked language model
// expects in their place. Labels are kept.
//
// Nothing has a history: a copy is a function of (seed, row, copy, text) alone, so it depends neither on threads nor on the rows
// before it. Operations: swap and deletion are those of Wei and Zou, "EDA: Easy Data Augmentation Techniques for Boosting
// Performance on Text Classification Tasks", EMNLP 2019.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/samples/augment_kind.h"
#include "data/samples/record.h"

namespace berth::data {

// A text with some of its words hidden. `draws`: for each hidden word a number in [0, 1) that decides between the candidates.
struct HiddenWords {
  std::vector<std::string> words;
  std::vector<size_t> hidden;  // rising indexes into `words`
  std::vector<float> draws;    // [hidden]
};
// For each text, for each of its hidden words, another word; "" where there is none. Called by several threads at a time.
using SubstituteWords = std::function<std::vector<std::vector<std::string>>(std::span<const HiddenWords> texts)>;

struct AugmentOptions {
  std::vector<AugmentKind> kinds = {};  // empty: no augmentation; copies take them in turn
  int copies = 1;                       // of each training row
  double fraction = 0.1;                // of a text's words that is swapped, deleted or replaced; at least one word
  SubstituteWords substitute = {};      // needed for kSubstitute

  bool any() const { return !kinds.empty(); }
  // Throws Error(kUsage), also if copies or a fraction are given for nothing.
  void validate() const;
};

struct AugmentedRecord {
  size_t source = 0;  // index into the records given
  AugmentKind kind = AugmentKind::kNone;
  Record record;  // row, labels as the source's; words are joined by single spaces
};

// Copy number `copy` (from 0) of each of `records`, in their order. A text is never emptied; one in which nothing can be changed
// (one word) comes back as it is.
std::vector<AugmentedRecord> augment(std::span<const Record* const> records, int copy, uint64_t seed,
                                     const AugmentOptions& options);

}  // namespace berth::data
