// One prepared sample: what the features make of a record and what the store keeps.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace berth::data {

struct Sample {
  int64_t row = 0;                       // source row, 1-based, header not counted
  std::vector<int32_t> input_ids = {};   // [T] with [CLS] and [SEP], at least one token
  int32_t segment_b = 0;                 // index of segment B's first token; T if there is one segment
  std::vector<int32_t> labels = {};      // kClass [1] | kTokenClass [T] | kSpan [2] | otherwise empty
  std::vector<float> float_labels = {};  // kFloat [1] | kMultiHot [num_labels] | otherwise empty
  bool truncated = false;                // not stored; counted in the report

  // Not stored either, and only there if FeatureOptions::offsets asks:
  std::vector<std::array<int32_t, 2>> offsets = {};  // [T] begin and end of each token, in code points of the record's text (for
                                                     // segment B of text_pair, for words of the words joined by single spaces);
                                                     // {0, 0} for [CLS] and [SEP]
};

}  // namespace berth::data
