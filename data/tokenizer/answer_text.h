// Answers to questions as the SQuAD scoring scripts compare them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace berth::data {

// The words of `text` (valid UTF-8) in lower case, without ASCII punctuation, without the articles a, an and the. Characters are
// classified as Python's str and re do.
std::vector<std::string> answer_words(std::string_view text);

}  // namespace berth::data
