#include "data/features/offsets.h"

#include <algorithm>

namespace berth::data {
namespace {

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

CodePointOffsets::CodePointOffsets(std::string_view text)
    : size_(static_cast<int32_t>(text.size() - static_cast<size_t>(std::count_if(text.begin(), text.end(), is_continuation)))) {
  if (static_cast<size_t>(size_) == text.size()) return;
  before_.reserve(text.size() + 1);
  before_.push_back(0);
  for (size_t i = 0; i < text.size(); ++i)
    before_.push_back(before_.back() + (i + 1 == text.size() || !is_continuation(text[i + 1])));
}

}  // namespace berth::data
