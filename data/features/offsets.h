// Where tokens stand in their text, in code points: what people and Python count.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/tokenizer/bert_tokenizer.h"

namespace berth::data {

// Ranges of bytes of one text as ranges of its code points.
class CodePointOffsets {
 public:
  // `text` is valid UTF-8.
  explicit CodePointOffsets(std::string_view text);
  // [begin, end) of a token; {0, 0} for [CLS] and [SEP].
  std::array<int32_t, 2> operator()(const Token& token) const { return {at(token.begin), at(token.end)}; }
  int32_t size() const { return size_; }  // code points of the text

 private:
  int32_t at(uint32_t byte) const { return before_.empty() ? static_cast<int32_t>(byte) : before_[byte]; }

  int32_t size_;
  std::vector<int32_t> before_;  // [bytes + 1] code points before each byte; empty if all are ASCII
};

}  // namespace berth::data
