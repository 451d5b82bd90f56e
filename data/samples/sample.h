// One prepared sample: what the features make of a record and what the store keeps.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "data/samples/augment_kind.h"

namespace berth::data {

inline constexpr uint8_t kNoMultiHot = 255;  // first float label of an unlabelled multi-label sample

// What the encoder sees at once.
struct Sequence {
  std::vector<int32_t> input_ids = {};  // [T] with [CLS] and [SEP], at least one token
  int32_t segment_b = 0;                // index of segment B's first token; T if there is one segment
  bool operator==(const Sequence&) const = default;
};

struct Sample {
  int64_t row = 0;                       // source row, 1-based, header not counted
  std::vector<int32_t> input_ids = {};   // as a Sequence's: of its first one, which for most samples is the only one
  int32_t segment_b = 0;                 //
  std::vector<Sequence> further = {};    // those after it: a long text's next windows, a question's other choices
  std::vector<int32_t> labels = {};      // kClass, kChoice, kNextSentence [1] | kTokenClass [T] | kSpan [2] | otherwise empty
  std::vector<float> float_labels = {};  // kFloat [1] | kMultiHot [num_labels] | otherwise empty
  AugmentKind augmented = AugmentKind::kNone;  // how it was made out of the text of that row
  // [T] code points [begin, end) of the record's text that each token above came from (of segment B, of text_pair; of words, of the
  // words joined by single spaces); {0, 0} for [CLS] and [SEP]. Made if FeatureOptions::offsets asks, and for questions, where
  // they are stored.
  std::vector<std::array<int32_t, 2>> offsets = {};

  std::vector<int32_t> words = {};  // token classification, with offsets: [T] the word of each token, -1 for [CLS] and [SEP]

  // Not stored, but counted:
  int32_t cut = 0;          // tokens that are left out because it would have more than the maximum length
  bool misaligned = false;  // question answering: at answer_start the context does not have the answer's text
};

}  // namespace berth::data
